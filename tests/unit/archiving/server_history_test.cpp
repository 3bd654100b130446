#include "archiving/server_history.h"

#include <gtest/gtest.h>

#include "support/memory_repository.h"
#include "support/temporary_directory.h"
#include "support/test_data.h"
#include "support/wal_files.h"

namespace walvault {
namespace {

TEST(ServerHistory, LiesBesideTheSegmentThatIsOffered) {
  MemoryRepository made;
  const WalArchive archive(made.repository, test_cluster());
  const TemporaryDirectory pg_wal;
  const WalSegmentSpec spec{.timeline = 2, .number = 4};
  const OfferedFile offered(write_test_file(pg_wal.path(), spec.name(), wal_segment(spec)));
  const auto archive_beside = [&](std::uint32_t timeline) {
    archive_history_beside(archive, offered, {timeline}, made.clock, {});
  };
  archive_beside(1);
  archive_beside(2);
  EXPECT_TRUE(keys_under(made.storage, "wal/").empty());

  const auto history = bytes_of("1\t0/400000\tno recovery target\n");
  write_test_file(pg_wal.path(), "00000002.history", history);
  archive_beside(2);
  EXPECT_EQ(archive.find_file("00000002.history"), history);
  // What is archived, by whomever, is compared elsewhere.
  write_test_file(pg_wal.path(), "00000002.history", bytes_of("1\t0/480000\tanother\n"));
  archive_beside(2);
  EXPECT_EQ(archive.find_file("00000002.history"), history);
}

}  // namespace
}  // namespace walvault
