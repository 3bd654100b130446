#include "catalog/wal/wal_ledger.h"

#include <gtest/gtest.h>

#include "catalog/wal/stored_summary.h"
#include "catalog/wal/wal_chain.h"
#include "support/catalog_examples.h"
#include "support/damage.h"
#include "support/hooked_storage.h"
#include "support/memory_repository.h"
#include "support/summary_example.h"
#include "support/test_data.h"

namespace walvault {
namespace {

// The last segments of one directory and the first of the next.
constexpr std::uint64_t first_segment = 4092;
constexpr std::size_t segments = 8;

// WAL in which records of every kind that counts cross from one segment into
// the next.
class WalLedgerTest : public testing::Test {
 protected:
  WalLedgerTest() {
    for (std::uint64_t i = 0; i < segments; ++i) {
      wal_.add_commit(static_cast<std::uint32_t>(700 + i), minute_of(first_segment + i));
      while (wal_.left_in_segment() > 12'000) wal_.add_filler(2000);
      cross(i);
    }
    wal_.add_switch();
    for (std::uint64_t i = 0; i < segments; ++i) put(i, wal_.segment(i));
  }

  // The border lies within the record that is added.
  void cross(std::uint64_t i) {
    wal_.add_filler(wal_.left_in_segment() - 8192 - 24 - 5);
    const std::size_t before_border = i % 3 == 0 ? 8 : 100;
    wal_.add_filler(8192 - 24 - before_border - 24 - 5);
    if (i % 4 == 0) {
      WalBuilder::TransactionSpec spec;
      for (std::uint32_t sub = 0; sub < 60; ++sub) spec.subtransactions.push_back(900 + sub);
      wal_.add_end(800, minute_of(first_segment + i) + std::chrono::seconds(5), spec);
    } else if (i % 4 == 1) {
      wal_.add_restore_point("crossing", minute_of(first_segment + i));
    } else {
      wal_.add_filler(3000);
    }
  }

  void put(std::uint64_t i, const Bytes& content) {
    const SegmentName name{.timeline = {1}, .number = first_segment + i};
    archive_file(archive_, name.text(test_geometry), content, minute_of(name.number));
  }

  [[nodiscard]] std::string key(std::uint64_t i) const {
    return archive_.key_of(
        SegmentName{.timeline = {1}, .number = first_segment + i}.text(test_geometry));
  }

  // All that a walk tells, as text.
  [[nodiscard]] static std::string walk(const WalArchive& archive) {
    const auto stretch = wal_from(archive, archive.history({1}), lsn_in(first_segment, 0x28));
    std::string text;
    const auto chain = prove_chain(archive, stretch, [&](const ChainSegment& segment) {
      const auto& summary = segment.summary;
      text += segment.name.text(test_geometry) + " " + summary.first.text() + " " +
              summary.last.text() + " " + summary.end.text() + " " +
              std::to_string(summary.commits) + " " + std::to_string(summary.first_xid) + " " +
              std::to_string(summary.last_xid) + " " + to_rfc3339(summary.latest);
      for (const auto& point : summary.restore_points) text += " " + point.name;
      if (segment.crossing) {
        text += " / " + segment.crossing->lsn.text();
        if (segment.crossing->end) text += " " + to_rfc3339(segment.crossing->end->time);
        if (segment.crossing->restore_point) text += " " + segment.crossing->restore_point->name;
      }
      text += "\n";
    });
    return text + chain.begin.text() + " " + chain.end.text() + " " + to_rfc3339(chain.until) +
           " " + chain.broken;
  }

  [[nodiscard]] std::vector<std::string> ledgers() {
    return keys_under(made_.storage, "wal-ledger/");
  }

  MemoryRepository made_;
  WalArchive archive_{made_.repository, test_cluster()};
  WalBuilder wal_{first_segment};
};

TEST_F(WalLedgerTest, SaysOfTheChainWhatTheSegmentsSay) {
  const auto plain = walk(archive_);
  EXPECT_NE(plain.find("crossing"), std::string::npos) << plain;
  EXPECT_EQ(walk(archive_.at_this_moment(false)), plain);
  EXPECT_TRUE(ledgers().empty());
  EXPECT_EQ(walk(archive_.at_this_moment(true)), plain);  // made
  ASSERT_EQ(ledgers().size(), 1u);  // not of the directory that is still written to
  EXPECT_EQ(walk(archive_.at_this_moment(true)), plain);  // read
  EXPECT_EQ(walk(archive_.at_this_moment(false)), plain);
  made_.storage.remove(ledgers());
  EXPECT_EQ(walk(archive_.at_this_moment(false)), plain);
}

// Of a directory that is still written to one of its first segments, eight more each time.
TEST_F(WalLedgerTest, GrowsWithADirectoryThatIsStillWrittenTo) {
  MemoryRepository made;
  const WalArchive archive(made.repository, test_cluster());
  const auto walk_segments = [&](bool keep) {
    const auto stretch =
        wal_from(archive.at_this_moment(keep), archive.history({1}), lsn_in(1, 0x28));
    std::string ends;
    int reads = 0;
    HookedStorage counted(made.storage);
    counted.before = [&](std::string_view operation, std::string_view key) {
      reads += operation == "find" && key.starts_with("wal/");
    };
    const auto repository = Repository::open(counted);
    const auto chain =
        prove_chain(WalArchive(repository, test_cluster()).at_this_moment(keep), stretch,
                    [&](const ChainSegment& segment) { ends += segment.summary.end.text() + " "; });
    EXPECT_EQ(chain.broken, "");
    return std::pair(ends, reads);
  };
  const auto ledger_count = [&] { return keys_under(made.storage, "wal-ledger/").size(); };
  archive_segments(archive, 1, 1, 8);
  const auto plain = walk_segments(true);
  EXPECT_EQ(ledger_count(), 0u);
  archive_segments(archive, 1, 9, 12);
  EXPECT_TRUE(walk_segments(true).first.starts_with(plain.first));
  EXPECT_EQ(ledger_count(), 1u);
  const auto per_segment = plain.second / 8;
  EXPECT_EQ(walk_segments(false).second, 4 * per_segment);
  archive_segments(archive, 1, 13, 40);
  const auto all = walk_segments(false).first;
  EXPECT_EQ(walk_segments(true).first, all);
  EXPECT_EQ(ledger_count(), 2u);
  EXPECT_EQ(walk_segments(false), std::pair(all, 8 * per_segment));
  // The largest that there is.
  archive_segments(archive, 1, 41, 60);
  EXPECT_EQ(walk_segments(false).second, 28 * per_segment);
  archive.keep_ledger({.timeline = {1}, .number = 60}, 10);
  EXPECT_EQ(ledger_count(), 2u) << "it lacks more than that";
  archive.keep_ledger({.timeline = {1}, .number = 60}, 32);
  EXPECT_EQ(ledger_count(), 3u);
  EXPECT_EQ(walk_segments(false).second, 4 * per_segment);
}

TEST_F(WalLedgerTest, IsReadInPlaceOfTheSegments) {
  const auto plain = walk(archive_.at_this_moment(true));
  const auto size = made_.storage.find_size(key(1)).value();
  made_.storage.remove({key(1)});
  ASSERT_TRUE(made_.storage.put_if_absent(key(1), Bytes(size)));
  EXPECT_EQ(walk(archive_.at_this_moment(false)), plain);
  // Whoever is to be sure asks the segments.
  EXPECT_NE(walk(archive_), plain);
}

TEST_F(WalLedgerTest, IsOfNoUseOnceTheDirectoryHasOtherContent) {
  const auto plain = walk(archive_.at_this_moment(true));
  made_.storage.remove({key(1)});
  const auto without = walk(archive_.at_this_moment(true));
  EXPECT_NE(without, plain);
  EXPECT_EQ(without, walk(archive_));
  put(1, wal_.segment(0));  // swapped
  const auto swapped = walk(archive_.at_this_moment(true));
  EXPECT_NE(swapped.find("other WAL"), std::string::npos) << swapped;
  EXPECT_EQ(ledgers().size(), 3u);
  EXPECT_EQ(walk(archive_.at_this_moment(true)), swapped);
}

TEST_F(WalLedgerTest, DamagedIsPassedOver) {
  const auto plain = walk(archive_.at_this_moment(true));
  const auto name = ledgers().at(0);
  auto bytes = made_.storage.find(name, whole_object).value();
  bytes.at(bytes.size() / 2) ^= 1;
  made_.storage.remove({name});
  ASSERT_TRUE(made_.storage.put_if_absent(name, bytes));
  EXPECT_EQ(walk(archive_.at_this_moment(true)), plain);
}

TEST_F(WalLedgerTest, OfALaterVersionIsPassedOver) {
  const auto plain = walk(archive_.at_this_moment(true));
  const auto name = ledgers().at(0);
  auto payload = made_.repository.find_sealed(ObjectKind::ledger, name).value();
  payload.at(0) = 2;
  payload.push_back(1);
  made_.storage.overwrite(name, ObjectCodec().seal(ObjectKind::ledger, name, payload));
  EXPECT_EQ(walk(archive_.at_this_moment(true)), plain);
  EXPECT_EQ(walk(archive_.at_this_moment(false)), plain);
}

TEST_F(WalLedgerTest, ThatCannotBeStoredIsNoError) {
  const auto plain = walk(archive_);
  HookedStorage read_only(made_.storage);
  read_only.before = [](std::string_view operation, std::string_view) {
    if (operation == "put") throw Error(ErrorKind::unavailable, "only reading is allowed");
  };
  const auto repository = Repository::open(read_only);
  EXPECT_EQ(walk(WalArchive(repository, test_cluster()).at_this_moment(true)), plain);
  EXPECT_TRUE(ledgers().empty());
}

TEST_F(WalLedgerTest, IsSmall) {
  (void)walk(archive_.at_this_moment(true));
  EXPECT_LT(made_.storage.find_size(ledgers().at(0)).value(), 4u * 700);
}

TEST(WalLedger, OfAnotherVersionOrWithTooManyEntriesIsDamage) {
  for (const auto& [version, entries] : {std::pair(3, 0), std::pair(1, 0), std::pair(2, 4097)}) {
    ByteWriter out;
    out.u8(static_cast<std::uint8_t>(version));
    out.varint(static_cast<std::uint64_t>(entries));
    out.raw(Bytes(10'000));
    EXPECT_EQ(error_of([&] { (void)decode_wal_ledger(out.bytes(), "wal-ledger/x"); }), "corrupt")
        << version;
  }
}

TEST(WalLedger, IsReadAsItWasWritten) {
  WalLedger ledger;
  const ChainSummary chain{.summary = example_summary(),
                           .origin = example_stored_summary().origin,
                           .digest = sha256(as_bytes("a segment"))};
  ledger.entries = {{.number = 3, .chain = chain}, {.number = 7, .chain = chain}};
  const auto bytes = encode_wal_ledger(ledger);
  const auto read = decode_wal_ledger(bytes, "wal-ledger/x");
  EXPECT_TRUE(read.entries == ledger.entries);
  EXPECT_NE(read.find(7), nullptr);
  EXPECT_EQ(read.find(4), nullptr);
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_EQ(
        error_of([&] { (void)decode_wal_ledger(ByteView(bytes).first(length), "wal-ledger/x"); }),
        "corrupt");
  }
  std::swap(ledger.entries[0], ledger.entries[1]);
  EXPECT_EQ(error_of([&] { (void)decode_wal_ledger(encode_wal_ledger(ledger), "wal-ledger/x"); }),
            "corrupt");
}

}  // namespace
}  // namespace walvault
