#include "archiving/server_history.h"

#include <gtest/gtest.h>

#include "support/memory_repository.h"
#include "support/temporary_directory.h"
#include "support/test_data.h"
#include "support/wal_files.h"

namespace walvault {
namespace {

class ServerHistory : public testing::Test {
 protected:
  OfferedFile put(const WalSegmentSpec& spec) const {
    return OfferedFile(write_test_file(pg_wal_.path(), spec.name(), wal_segment(spec)));
  }
  void bring(const OfferedFile& offered) {
    archive_what_is_never_offered(archive_, offered, *offered.segment(test_geometry), made_.clock,
                                  {});
  }

  MemoryRepository made_;
  const WalArchive archive_{made_.repository, test_cluster()};
  const TemporaryDirectory pg_wal_;
  const Bytes history_ = bytes_of("1\t0/480000\tno recovery target\n");
};

TEST_F(ServerHistory, LiesBesideTheSegmentThatIsOffered) {
  bring(put({.number = 4}));
  const auto offered = put({.timeline = 2, .number = 5});
  bring(offered);
  EXPECT_TRUE(keys_under(made_.storage, "wal/").empty());

  write_test_file(pg_wal_.path(), "00000002.history", history_);
  bring(offered);
  EXPECT_EQ(archive_.find_file("00000002.history"), history_);
  // What is archived, by whomever, is compared elsewhere.
  write_test_file(pg_wal_.path(), "00000002.history", bytes_of("1\t0/480000\tanother\n"));
  bring(offered);
  EXPECT_EQ(archive_.find_file("00000002.history"), history_);
}

// The primary died before it archived them.
TEST_F(ServerHistory, BringsTheLastSegmentsOfTheTimelineBefore) {
  write_test_file(pg_wal_.path(), "00000002.history", history_);
  for (const std::uint64_t number : {1u, 2u, 3u}) (void)put({.number = number});
  (void)push_wal_file(archive_, pg_wal_.path(WalSegmentSpec{.number = 1}.name()), made_.clock, {});
  // Only before the first one.
  bring(put({.timeline = 2, .number = 5}));
  EXPECT_FALSE(archive_.has_segment({.timeline = {1}, .number = 3}));
  bring(put({.timeline = 2, .number = 4}));
  EXPECT_TRUE(archive_.has_segment({.timeline = {1}, .number = 3}));
  EXPECT_TRUE(archive_.has_segment({.timeline = {1}, .number = 2}));
}

}  // namespace
}  // namespace walvault
