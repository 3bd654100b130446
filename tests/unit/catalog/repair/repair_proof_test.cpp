// One object lost or damaged costs itself at most: whatever byte of whatever object of a small
// repository is flipped, and whatever object is removed, is noticed, and mended from another one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <set>

#include "catalog/records/accepted_gap.h"
#include "catalog/records/backup_keep.h"
#include "catalog/records/backup_list.h"
#include "catalog/records/catalogue_snapshot.h"
#include "catalog/records/left_timeline.h"
#include "repository/pin.h"
#include "repository/unfinished.h"
#include "support/repair_fixture.h"

namespace walvault {
namespace {

using ::testing::Contains;

// Everything that a repository can hold, small.
class RepairProof : public RepairTest {
 protected:
  RepairProof() {
    auto upgraded = test_cluster();
    upgraded.system_identifier = 4242;
    (void)upgrade_cluster(made_.repository, upgraded);
    const auto newest = get_cluster(made_.repository, "main");
    archive_segments(WalArchive(made_.repository, newest), 1, 1, 2);
    back_up(4, "f", 1, 2, "b", newest);
    // A timeline that was used twice.
    archive_history(archive_, 2, {{.timeline = {1}, .end = lsn_in(6)}});
    archive_segments(archive_, 2, 6, 7);
    (void)archive_.set_aside({2}, minute_of(50));
    const WalArchive again(made_.repository, test_cluster());
    archive_history(again, 2, {{.timeline = {1}, .end = lsn_in(6)}});
    archive_segments(again, 2, 6, 7);
    archive_file(again, WalSegmentSpec{.timeline = 2, .number = 8}.name() + ".partial",
                 chained_segment(2, 8));
    put_accepted_gap(made_.repository, test_cluster(),
                     {.timeline = {.timeline = {1}},
                      .from = lsn_in(30),
                      .to = lsn_in(31),
                      .reason = "a disk",
                      .when = minute_of(2)});
    put_left_timeline(made_.repository, test_cluster(),
                      {.timeline = {.timeline = {7}},
                       .at = lsn_in(6),
                       .for_timeline = {8},
                       .archiver = {},
                       .when = minute_of(3),
                       .reason = "a test"});
    put_backup_keep(made_.repository, "main", "a", {.when = minute_of(1), .until = {}});
    (void)put_catalogue(made_.repository, test_cluster(), {});
    copy_to_other();
    back_up(3, "c", 4, 5, "b");
    delete_backup(made_.repository, "main", "c", minute_of(9));
    for (const auto& key : {backup_root_key("main", "d"), std::string("readers/main/0123/1")}) {
      (void)made_.repository.put_sealed(ObjectKind::tombstone, key, {});
    }
    const WriterSession killed(made_.repository, made_.clock, id_of(6),
                               backup_root_key("main", "e"), "");
    TreeWriter tree(killed, {});
    write_tree_file(tree, "base/1", random_bytes(500, 9));
    const auto record = killed.unfinished_object(tree.finish(), 1);
    (void)made_.storage.put_if_absent(record.key, record.bytes);
    (void)look();  // a record of what was verified
    original_ = objects_of(made_.storage);
  }

  // What only a running command relies on, and nobody else has: it is named.
  static bool is_of_a_run(const std::string& key) {
    const auto place = place_of(key);
    return place == ObjectPlace::pins || place == ObjectPlace::plans ||
           place == ObjectPlace::wal_expiry;
  }
  // Without it everything is as if it had never been: its loss cannot be noticed, and costs what
  // the table of objects says.
  static bool leaves_no_trace(const std::string& key) {
    const auto place = *place_of(key);
    return info_of(place).is_derived || is_of_a_run(key) || place == ObjectPlace::deleted ||
           (place == ObjectPlace::backups && key.find("/d/") != std::string::npos);
  }
  static bool is_format(const std::string& key) { return place_of(key) == ObjectPlace::format; }
  // Of a backup that was deleted, and of a run that was killed: what gc has not come to, and nobody
  // relies on.
  static bool is_garbage(const std::string& key) {
    if (place_of(key) == ObjectPlace::unfinished) return true;
    const auto pack = PackName::parse(key);
    return pack && (pack->writer == WriterId(id_of(3)) || pack->writer == WriterId(id_of(6)));
  }

  // What was damaged is right again, and the rest as it was.
  void expect_mended(const std::string& key) {
    EXPECT_TRUE(look().is_whole()) << key;
    const auto now = objects_of(made_.storage);
    for (const auto& [each, bytes] : original_) {
      const auto place = *place_of(each);
      if (info_of(place).is_derived || is_of_a_run(each)) continue;
      ASSERT_TRUE(now.contains(each)) << each << " behind " << key;
      if (each == key && info_of(place).copied == Copied::no) continue;  // made again
      const bool is_closed = place == ObjectPlace::backups && each == key && bytes.size() < 256;
      EXPECT_TRUE(is_closed || now.at(each) == bytes) << each << " behind " << key;
    }
  }

  Objects original_;
};

TEST_F(RepairProof, OfEverythingIsSmallAndWhole) {
  std::size_t bytes = 0;
  std::set<ObjectPlace> places;
  for (const auto& [key, object] : original_) {
    bytes += object.size();
    places.insert(place_of(key).value());
  }
  EXPECT_LE(bytes, 64u << 10);
  for (const auto& info : object_table()) {
    // Of running commands, and what is damaged already.
    const bool is_left_out =
        info.place == ObjectPlace::plans || info.place == ObjectPlace::wal_expiry ||
        info.place == ObjectPlace::damaged || info.place == ObjectPlace::ledgers;
    EXPECT_EQ(places.contains(info.place), !is_left_out) << info.prefix;
  }
  const auto report = look();
  for (const auto& object : report.objects) ADD_FAILURE() << object.key << ": " << object.why;
  EXPECT_TRUE(report.is_whole());
}

TEST_F(RepairProof, EveryObjectThatIsRemovedIsNoticedAndMended) {
  for (const auto& [key, bytes] : original_) {
    if (is_format(key) || is_garbage(key)) continue;
    SCOPED_TRACE(key);
    fill(made_.storage, original_);
    made_.storage.remove({key});
    if (leaves_no_trace(key)) continue;
    const auto place = *place_of(key);
    // Decisions and the newest WAL are missed by who compares with the other one.
    const bool is_compared = place == ObjectPlace::accepted_gaps || place == ObjectPlace::left ||
                             place == ObjectPlace::keeps || place == ObjectPlace::catalogues ||
                             place == ObjectPlace::wal;
    EXPECT_TRUE(is_compared || !look().is_whole());
    const auto report = repair();
    for (const auto& each : report.unmended) ADD_FAILURE() << each.key << ": " << each.why;
    EXPECT_FALSE(report.mended.empty());
    expect_mended(key);
    if (HasFailure()) return;
  }
}

// Each byte with --long, else a few hundred of them, each object's first and last among them.
TEST_F(RepairProof, EveryByteThatIsFlippedIsNoticedAndMended) {
  const char* const is_long = std::getenv("WALVAULT_TEST_LONG");
  const std::size_t step = is_long != nullptr && *is_long == '1' ? 1 : 997;
  for (const auto& [key, bytes] : original_) {
    if (is_format(key) || is_garbage(key)) continue;
    SCOPED_TRACE(key);
    for (std::size_t byte = 0;; byte = std::min(byte + step, bytes.size() - 1)) {
      fill(made_.storage, original_);
      flip(key, byte);
      EXPECT_FALSE(look().is_whole()) << byte;
      const auto report = repair();
      if (is_of_a_run(key)) {
        EXPECT_THAT(unmended_in(report), Contains(key));
      } else {
        for (const auto& each : report.unmended) {
          ADD_FAILURE() << each.key << ": " << each.why << " at byte " << byte;
        }
        expect_mended(key);
      }
      if (HasFailure()) return;
      if (byte + 1 == bytes.size()) break;
    }
  }
}

// Without another one, what does not need the object can be restored.
TEST_F(RepairProof, OneObjectCostsItselfAtMost) {
  for (const auto& object : original_) {
    const auto& key = object.first;
    if (is_format(key) || key.starts_with("pins/")) continue;
    SCOPED_TRACE(key);
    for (const bool is_removed : {true, false}) {
      fill(made_.storage, original_);
      if (is_removed) {
        made_.storage.remove({key});
      } else {
        flip(key, object.second.size() / 2);
      }
      (void)repair_from(nullptr);
      ASSERT_TRUE(find_cluster(made_.repository, "main"));
      const auto backups = list_backups(made_.repository, "main").backups;
      for (const std::string id : {"a", "b"}) {
        const auto root_key = backup_root_key("main", id);
        const auto root = decode_root(ObjectCodec(), original_.at(root_key), root_key);
        const bool needs_it =
            key == root_key || std::ranges::any_of(root.packs.entries(), [&](const auto& entry) {
              return entry.name.key() == key;
            });
        if (needs_it) continue;
        EXPECT_TRUE(std::ranges::any_of(backups, [&](const BackupInfo& backup) {
          return backup.id == id;
        })) << id;
        EXPECT_TRUE(content_of(id) == random_bytes(3000, id == "a" ? 1 : 2)) << id;
      }
      if (HasFailure()) return;
    }
  }
}

}  // namespace
}  // namespace walvault
