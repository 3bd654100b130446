// Backups that receive their own WAL over a second connection.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "support/wal_builder.h"
#include "unit/basebackup/base_backup_fixture.h"

namespace walvault {
namespace {

using std::chrono::milliseconds;

// A second connection to the same server; it is told how to stream.
class StreamingBackupTest : public BaseBackupTest {
 protected:
  using Stream = decltype(FakeServer::stream);

  StreamingBackupTest() { server_.settings["archive_mode"] = "off"; }

  BaseBackupRequest streaming(const Stream& stream) {
    BaseBackupRequest request;
    request.connect_for_wal = [this, stream] {
      auto connection = std::make_unique<FakeServer>(server_);
      connection->stream = [this, stream, connection = connection.get()](
                               WalPosition start, const std::string& slot,
                               const WalStreamEvents& events) {
        EXPECT_EQ(slot, connection->slot) << "WAL may be gone that no slot kept";
        try {
          stream(start, slot, events);
        } catch (...) {
          ended_ = true;
          throw;
        }
        ended_ = true;
        while (events.wanted()) std::this_thread::sleep_for(milliseconds(1));
      };
      return connection;
    };
    return request;
  }

  // Holds the backup until the stream has done its part.
  void wait_for_the_stream() {
    server_.before_manifest = [this] {
      while (!ended_) std::this_thread::sleep_for(milliseconds(1));
    };
  }

  std::atomic<bool> ended_ = false;
};

TEST_F(StreamingBackupTest, ArchivesTheWholeSegmentsThatItNeeds) {
  auto wal = whole_segments(3, 3);
  wal.resize(wal.size() - 1);  // the last one is not whole
  std::vector<Lsn> durable;
  wait_for_the_stream();
  const auto backup =
      back_up(streaming([&](WalPosition start, const std::string&, const auto& events) {
        EXPECT_EQ(start.lsn, (Lsn{3 * test_segment_bytes})) << "segments are archived whole";
        EXPECT_EQ(start.timeline, TimelineId{1});
        ByteView left = wal;
        while (!left.empty()) {
          const auto piece = left.first(std::min<std::size_t>(left.size(), 700'001));
          events.data(start.lsn, piece);
          start.lsn.value += piece.size();
          left = left.subspan(piece.size());
          durable.push_back(events.durable());
        }
      }));
  expect_whole_backup(repository_, backup, server_);
  EXPECT_EQ(durable.front(), (Lsn{3 * test_segment_bytes}));
  EXPECT_EQ(durable.back(), (Lsn{5 * test_segment_bytes}));
  for (const std::uint64_t number : {3u, 4u}) {
    const SegmentName name{.timeline = {1}, .number = number};
    ASSERT_TRUE(archive_.has_segment(name));
    const auto header = archive_.find_header(archive_.key_of(name.text(test_geometry)));
    const auto offset = (number - 3) * test_segment_bytes;
    EXPECT_EQ(header->digest, sha256(ByteView(wal).subspan(offset, test_segment_bytes)));
  }
  EXPECT_FALSE(archive_.has_segment({.timeline = {1}, .number = 5}));
}

TEST_F(StreamingBackupTest, DamagedWalEndsTheBackup) {
  wait_for_the_stream();
  auto wal = whole_segments(3, 1);
  wal[20'000] ^= 1;
  const auto request = streaming([&](WalPosition start, const std::string&, const auto& events) {
    events.data(start.lsn, wal);
  });
  EXPECT_EQ(refusal(request), "corrupt");
}

TEST_F(StreamingBackupTest, EndsWithWhatEndedTheStream) {
  wait_for_the_stream();
  const auto request = streaming([](WalPosition, const std::string&, const auto&) {
    throw Error(ErrorKind::conflict, "the stream has ended");
  });
  EXPECT_EQ(refusal(request), "conflict");
}

TEST_F(StreamingBackupTest, RefusesWalThatIsNotTheClusters) {
  const auto foreign = wal_segment({.number = 3, .system_identifier = 7});
  wait_for_the_stream();
  const auto request = streaming([&](WalPosition start, const std::string&, const auto& events) {
    events.data(start.lsn, foreign);
  });
  EXPECT_EQ(refusal(request), "conflict");
  EXPECT_TRUE(keys_under(made_.storage, "wal/").empty());
}

TEST_F(StreamingBackupTest, GivesUpWhenASegmentIsNeverWhole) {
  const auto segment = wal_segment({.number = 3});
  wait_for_the_stream();
  auto request = streaming([&](WalPosition start, const std::string&, const auto& events) {
    events.data(start.lsn, ByteView(segment).first(test_segment_bytes - 1));
  });
  request.wal_timeout = milliseconds(10);
  EXPECT_EQ(refusal(request), "unavailable");
}

}  // namespace
}  // namespace walvault
