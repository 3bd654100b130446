#include "basebackup/base_backup.h"
#include "basebackup/server_claim.h"

#include <gtest/gtest.h>

#include "catalog/records/backup_list.h"
#include "catalog/retention/expiry.h"
#include "repository/damaged_packs.h"
#include "repository/pin.h"
#include "repository/unfinished.h"
#include "support/fake_backup.h"
#include "support/test_data.h"
#include "support/wal_builder.h"
#include "unit/basebackup/base_backup_fixture.h"

namespace walvault {
namespace {

using std::chrono::milliseconds;

BaseBackupRequest labelled(const std::string& label, const std::string& host) {
  BaseBackupRequest request;
  request.label = label;
  request.host = host;
  return request;
}

BaseBackupRequest patient_for(milliseconds timeout) {
  BaseBackupRequest request;
  request.wal_timeout = timeout;
  return request;
}

TEST_F(BaseBackupTest, HoldsWhatTheServerSent) {
  archive_needed_wal(archive_);
  const auto backup = back_up();
  expect_whole_backup(repository_, backup, server_);
  EXPECT_EQ(roots(), std::vector<std::string>{backup_root_key("main", backup.id)});
}

TEST_F(BaseBackupTest, DoesNotDependOnThePiecesThatTheStreamArrivesIn) {
  archive_needed_wal(archive_);
  for (const std::size_t piece : {std::size_t{97}, std::size_t{512}, std::size_t{1u << 22}}) {
    server_.piece_bytes = piece;
    made_.clock.advance(std::chrono::seconds(1));
    expect_whole_backup(repository_, back_up(), server_);
  }
}

TEST_F(BaseBackupTest, RecordsWhatItIs) {
  archive_needed_wal(archive_);
  const auto began = made_.clock.now();
  server_.before_manifest = [&] { made_.clock.advance(std::chrono::seconds(7)); };
  const auto backup = back_up(labelled("monthly", "db1"));

  EXPECT_EQ(backup.cluster, "main");
  EXPECT_EQ(backup.label, "monthly");
  EXPECT_EQ(server_.last_label, "monthly");
  EXPECT_EQ(backup.timeline, TimelineId{1});
  EXPECT_EQ(backup.start, server_.begin.lsn);
  EXPECT_EQ(backup.stop, server_.end.lsn);
  EXPECT_EQ(backup.start_time, began);
  EXPECT_EQ(backup.stop_time, began + std::chrono::seconds(7));
  EXPECT_EQ(backup.duration, std::chrono::seconds(7));
  EXPECT_EQ(backup.server_version, 150018);
  EXPECT_EQ(backup.host, "db1");
  EXPECT_EQ(backup.data_directory, "/srv/pg");
  EXPECT_FALSE(backup.from_standby);
  EXPECT_EQ(backup.sequence, 1u);
  EXPECT_EQ(backup.parent_id, "");
  EXPECT_EQ(backup.control.system_identifier, test_system_identifier);
  EXPECT_EQ(backup.control.wal_segment_bytes, test_segment_bytes);
  EXPECT_EQ(backup.control.max_connections, 100u);
  EXPECT_EQ(backup.files, server_.files.size());
  std::uint64_t size = 0;
  for (const auto& [path, content] : server_.files) size += content.size();
  EXPECT_EQ(backup.size_bytes, size);
  EXPECT_EQ(backup.zero_bytes, 1'000'000u);

  // And the list tells the same.
  const auto list = list_backups(repository_, "main");
  ASSERT_EQ(list.backups.size(), 1u);
  EXPECT_TRUE(encode_backup_info(list.backups.front()) == encode_backup_info(backup));
}

TEST_F(BaseBackupTest, DoesNotGuessTheHostOfAServerElsewhere) {
  archive_needed_wal(archive_);
  server_.local = false;
  EXPECT_EQ(back_up(labelled("", "this-machine")).host, "");
}

TEST_F(BaseBackupTest, BorrowsWhatDidNotChangeFromTheBackupBefore) {
  archive_needed_wal(archive_);
  const auto first = back_up();
  made_.clock.advance(std::chrono::hours(24));
  server_.files["base/5/1259"][300'000] ^= 1;
  const auto second = back_up();
  EXPECT_EQ(second.parent_id, first.id);
  EXPECT_EQ(second.sequence, 2u);
  EXPECT_EQ(second.new_bytes, std::uint64_t{chunk_bytes});
  expect_whole_backup(repository_, second, server_);
}

TEST_F(BaseBackupTest, BorrowsFromTheBackupBeforeAnUpgradeToo) {
  archive_needed_wal(archive_);
  const auto before = back_up();
  made_.clock.advance(std::chrono::hours(24));
  auto identity = test_cluster();
  identity.number = 2;
  const WalArchive upgraded(repository_, identity);
  archive_needed_wal(upgraded);
  const auto after = walvault::back_up(upgraded, server_, 99, made_.clock);
  EXPECT_EQ(after.parent_id, before.id);
  EXPECT_EQ(after.new_bytes, 0u);
  expect_whole_backup(repository_, after, server_);
}

TEST_F(BaseBackupTest, IsNotStoppedByADamagedBackupBefore) {
  archive_needed_wal(archive_);
  const auto first = back_up();
  const auto key = backup_root_key("main", first.id);
  const auto root = *made_.storage.find(key, whole_object);
  // At its head, in its body, and in every pack that it needs.
  std::vector<std::pair<std::string, std::size_t>> places{{key, 40}, {key, root.size() - 40}};
  for (const auto& pack : keys_under(made_.storage, "packs/")) places.emplace_back(pack, 60);
  for (const auto& [damaged_key, byte] : places) {
    const auto object = *made_.storage.find(damaged_key, whole_object);
    auto damaged = object;
    damaged[byte] ^= 1;
    made_.storage.overwrite(damaged_key, damaged);
    made_.clock.advance(std::chrono::hours(24));
    const auto next = back_up();
    made_.storage.remove({backup_root_key("main", next.id)});
    made_.storage.overwrite(damaged_key, object);
  }
}

// Read only because something beside it changed: the one at hand may have borrowed
// more out of that pack, and the next one does not.
TEST_F(BaseBackupTest, MarksADamagedPackThatItMetSoThatTheNextOneIsWhole) {
  archive_needed_wal(archive_);
  const auto first = back_up();
  TreeReader tree(repository_, backup_root_key("main", first.id));
  const auto ref = chunks_of(tree, entries_of(tree).at("base/5/1259")).at(1);
  const auto& pack = tree.root().packs.at(ref.pack).name;
  auto content = *made_.storage.find(pack.key(), whole_object);
  content[ref.frame.offset + 100] ^= 1;
  made_.storage.overwrite(pack.key(), content);
  server_.files["base/5/1259"][300'000] ^= 1;
  made_.clock.advance(std::chrono::hours(24));
  (void)back_up();
  EXPECT_EQ(list_damaged_packs(repository_), std::set{pack});
  made_.clock.advance(std::chrono::hours(24));
  const auto third = back_up();
  made_.storage.remove({pack.key()});
  expect_whole_backup(repository_, third, server_);
}

TEST_F(BaseBackupTest, SeesThatAFileIsNotWhatTheManifestLists) {
  archive_needed_wal(archive_);
  server_.tamper_tar = [](Bytes& tar) { tar[tar.size() - 600] ^= 1; };  // in pg_control's zeros
  EXPECT_EQ(refusal(), "corrupt");
  EXPECT_EQ(server_.backups, 1);
}

TEST_F(BaseBackupTest, SeesThatAFileOfTheManifestDidNotCome) {
  archive_needed_wal(archive_);
  server_.tamper_manifest = [this](std::string& manifest) {
    auto more = server_;
    more.files["base/5/more"] = bytes_of("never sent");
    manifest = more.manifest_text();
  };
  EXPECT_EQ(refusal(), "corrupt");
}

TEST_F(BaseBackupTest, SeesThatMoreCameThanTheManifestLists) {
  archive_needed_wal(archive_);
  server_.tamper_manifest = [this](std::string& manifest) {
    auto less = server_;
    less.files.erase("base/5/2619");
    manifest = less.manifest_text();
  };
  EXPECT_EQ(refusal(), "corrupt");
}

TEST_F(BaseBackupTest, SeesThatTheManifestIsDamaged) {
  archive_needed_wal(archive_);
  const std::vector<std::function<void(std::string&)>> damages{
      [](std::string& text) { text[text.size() / 2] ^= 1; },
      [](std::string& text) { text.resize(text.size() / 2); },
      [](std::string& text) { text.clear(); },
      [](std::string& text) { text.insert(0, "x"); },
      [](std::string& text) { text += "more\n"; },
      [](std::string& text) { text.replace(text.find("CRC32C"), 6, "SHA224"); }};
  for (const auto& damage : damages) {
    server_.tamper_manifest = damage;
    EXPECT_EQ(refusal(), "corrupt");
  }
  server_.sends_manifest = false;
  EXPECT_EQ(refusal(), "corrupt");
}

TEST_F(BaseBackupTest, SeesThatTheStreamIsCutShortOrDamaged) {
  archive_needed_wal(archive_);
  server_.tamper_tar = [](Bytes& tar) { tar.resize(tar.size() - 5000); };
  EXPECT_EQ(refusal(), "corrupt");
  server_.tamper_tar = [](Bytes& tar) { tar.resize(tar.size() / 2); };
  EXPECT_EQ(refusal(), "corrupt");
  server_.tamper_tar = [](Bytes& tar) { tar[150] ^= 1; };  // a header's checksum
  EXPECT_EQ(refusal(), "corrupt");
}

TEST_F(BaseBackupTest, RefusesABackupWithoutItsLabelOrItsControlFile) {
  archive_needed_wal(archive_);
  server_.sends_label = false;
  EXPECT_EQ(refusal(), "corrupt");
  server_.sends_label = true;
  server_.files.erase("global/pg_control");
  EXPECT_EQ(refusal(), "corrupt");
  server_.files["global/pg_control"] = Bytes(8192, 7);
  EXPECT_EQ(refusal(), "corrupt");
}

TEST_F(BaseBackupTest, RefusesAnotherClustersServer) {
  server_.system_id = test_system_identifier + 1;
  EXPECT_EQ(refusal(), "conflict");
  EXPECT_EQ(server_.backups, 0);
}

TEST_F(BaseBackupTest, RefusesAnotherMajor) {
  server_.version = 160004;
  EXPECT_EQ(refusal(), "conflict");
  server_.version = 120010;
  EXPECT_EQ(refusal(), "usage");
  server_.version = 990000;
  EXPECT_EQ(refusal(), "usage");
  EXPECT_EQ(server_.backups, 0);
}

TEST_F(BaseBackupTest, RefusesAServerThatDoesNotArchiveBeforeAnythingIsCopied) {
  server_.settings["archive_mode"] = "off";
  EXPECT_EQ(refusal(), "usage");
  EXPECT_EQ(server_.backups, 0);
  EXPECT_TRUE(keys_under(made_.storage, "pins/").empty());
}

TEST_F(BaseBackupTest, TakesAnArchivingServerAtItsWord) {
  archive_needed_wal(archive_);
  for (const auto* const mode : {"on", "always"}) {
    server_.settings["archive_mode"] = mode;
    made_.clock.advance(std::chrono::hours(1));
    EXPECT_EQ(error_of([&] { (void)back_up(); }), "nothing") << mode;
  }
  server_.settings.erase("archive_mode");  // this user may not see it
  made_.clock.advance(std::chrono::hours(1));
  EXPECT_EQ(error_of([&] { (void)back_up(); }), "nothing");
}

TEST_F(BaseBackupTest, KnowsAServerThatNamesNoArchiveCommand) {
  EXPECT_TRUE(archives_wal(server_)) << "what may not be seen is taken for set";
  server_.settings["archive_command"] = "";
  EXPECT_FALSE(archives_wal(server_));
  server_.settings["archive_library"] = "basic_archive";
  EXPECT_TRUE(archives_wal(server_));
  server_.settings["archive_mode"] = "off";
  EXPECT_FALSE(archives_wal(server_));
}

TEST_F(BaseBackupTest, GivesUpWhenItsWalDoesNotArrive) {
  const auto began = made_.clock.now();
  EXPECT_EQ(refusal(patient_for(std::chrono::minutes(3))), "unavailable");
  const auto waited = made_.clock.now() - began;
  EXPECT_GE(waited, std::chrono::minutes(3));
  EXPECT_LT(waited, std::chrono::minutes(3) + std::chrono::seconds(2));
}

TEST_F(BaseBackupTest, NeedsEverySegmentOfItsWal) {
  archive_segments(archive_, 1, 3, 3);
  EXPECT_EQ(refusal(patient_for(milliseconds(1))), "unavailable");
  archive_segments(archive_, 1, 5, 9);  // not the one that is missing
  EXPECT_EQ(refusal(patient_for(milliseconds(1))), "unavailable");
  archive_segments(archive_, 1, 4, 4);
  EXPECT_EQ(error_of([&] { (void)back_up(patient_for(milliseconds(1))); }), "nothing");
}

TEST_F(BaseBackupTest, NeedsNoSegmentThatBeginsWhereItStops) {
  server_.end.lsn = {4 * test_segment_bytes};
  archive_segments(archive_, 1, 3, 3);
  EXPECT_EQ(error_of([&] { (void)back_up(patient_for(milliseconds(1))); }), "nothing");
}

TEST_F(BaseBackupTest, WaitsForItsWalAndSaysSo) {
  std::vector<std::string> notes;
  Reporter reporter;
  reporter.info = [&](const std::string& note) { notes.push_back(note); };
  int asked = 0;
  hooked_.before = [&](std::string_view operation, std::string_view key) {
    if (operation != "find_size" || !key.starts_with("wal/")) return;
    if (++asked == 5) archive_segments(WalArchive(made_.repository, test_cluster()), 1, 3, 4);
  };
  (void)take_base_backup(archive_, server_, id_of(1), made_.clock, {}, reporter);
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_NE(notes[0].find(server_.end.lsn.text()), std::string::npos) << notes[0];
}

TEST_F(BaseBackupTest, IsCommittedByItsLastWrite) {
  archive_needed_wal(archive_);
  std::vector<std::string> puts;
  hooked_.before = [&](std::string_view operation, std::string_view key) {
    if (operation == "put") puts.emplace_back(key);
  };
  const auto backup = back_up();
  ASSERT_GE(puts.size(), 4u);
  EXPECT_TRUE(puts.front().starts_with("pins/"));
  EXPECT_EQ(puts.at(puts.size() - 2), backup_root_key("main", backup.id)) << "a copy is last";
  EXPECT_EQ(
      std::ranges::count_if(puts, [](const auto& key) { return key.starts_with("backups/"); }), 1);
}

TEST_F(BaseBackupTest, StopsWhenItIsCancelledWhileItWaits) {
  Reporter reporter;
  struct Cancelled {};
  reporter.check_cancelled = [] { throw Cancelled(); };
  EXPECT_THROW((void)take_base_backup(archive_, server_, id_of(1), made_.clock, {}, reporter),
               Cancelled);
  EXPECT_TRUE(roots().empty());
}

TEST_F(BaseBackupTest, RefusesABackupDuringWhichTheTimelineChanged) {
  archive_needed_wal(archive_);
  server_.end.timeline = {2};
  EXPECT_EQ(refusal(), "unavailable");
}

TEST_F(BaseBackupTest, RefusesWalThatAnotherServerWrote) {
  archive_needed_wal(archive_);
  server_.files["global/pg_control"] = control_file({.redo = {3 * test_segment_bytes + 0x30}});
  const auto words = words_of_error([&] { (void)back_up(); });
  EXPECT_NE(words.find("not what this server wrote"), std::string::npos) << words;
  EXPECT_EQ(refusal(), "conflict");
}

TEST_F(BaseBackupTest, RefusesWalThatIsDamagedBeforeItsEnd) {
  archive_segments(archive_, 1, 3, 3);
  auto damaged = chained_segment(1, 4);
  damaged[200] ^= 1;
  const WalSegmentSpec fourth{.timeline = 1, .number = 4, .content_bytes = 300};
  archive_file(archive_, fourth.name(), damaged, minute_of(4));
  const auto words = words_of_error([&] { (void)back_up(); });
  EXPECT_NE(words.find("Segment " + fourth.name()), std::string::npos) << words;
  EXPECT_EQ(refusal(), "corrupt");
  // Behind its end it concerns what is restored beyond it.
  server_.end.lsn = {4 * test_segment_bytes};
  EXPECT_EQ(error_of([&] { (void)back_up(); }), "nothing");
}

TEST_F(BaseBackupTest, ThatFailsHoldsNothingAnyMore) {
  EXPECT_EQ(refusal(patient_for(milliseconds(1))), "unavailable");
  const auto pins = list_pins(made_.repository);
  ASSERT_EQ(pins.size(), 1u);
  EXPECT_FALSE(is_live(made_.repository, pins.front().pin));
}

TEST_F(BaseBackupTest, DoesNotRelyOnWalThatIsBeingExpired) {
  archive_needed_wal(archive_);
  const std::string key = "wal-expiry/main/" + to_hex(id_of(9));
  const auto announce = [&](std::uint64_t behind) {
    const WalExpiry expiry{.created = made_.clock.now(),
                           .ranges = {{.identity_number = 1,
                                       .timeline = {.timeline = {1}, .branch = 0},
                                       .first = 1,
                                       .behind = behind}}};
    made_.storage.remove({key});
    ASSERT_TRUE(
        made_.repository.put_sealed(ObjectKind::wal_expiry, key, encode_wal_expiry(expiry)));
  };
  announce(4);
  EXPECT_EQ(refusal(), "unavailable");
  announce(3);  // before its start
  EXPECT_EQ(error_of([&] { (void)back_up(); }), "nothing");
}

// The pin, then announcements, then the WAL, then the root.
TEST_F(BaseBackupTest, LooksForExpiryBetweenItsPinAndItsWal) {
  archive_needed_wal(archive_);
  std::vector<std::string> calls;
  hooked_.before = [&](std::string_view operation, std::string_view key) {
    const bool is_root = operation == "put" && key.starts_with("backups/");
    if (key.starts_with("wal-expiry/") || (operation == "put" && key.starts_with("pins/")) ||
        (operation == "list" && key.starts_with("wal/")) || is_root) {
      const auto top = std::string(key.substr(0, key.find('/')));
      const bool is_over = !calls.empty() && calls.back() == "backups";
      if (!is_over && (calls.empty() || calls.back() != top)) calls.push_back(top);
    }
  };
  (void)back_up();
  EXPECT_EQ(calls, (std::vector<std::string>{"pins", "wal-expiry", "wal", "backups"}));
}

TEST_F(BaseBackupTest, IsKeptFromTheBeginningWhereThatIsAsked) {
  archive_needed_wal(archive_);
  std::vector<std::string> puts;
  hooked_.before = [&](std::string_view operation, std::string_view key) {
    if (operation == "put") puts.emplace_back(key);
  };
  BaseBackupRequest request;
  request.keep = BackupKeep{.when = made_.clock.now(), .until = std::nullopt};
  const auto backup = back_up(request);
  EXPECT_EQ(puts[puts.size() - 3], "keeps/main/" + backup.id + "/1");
  EXPECT_EQ(list_backup_keeps(made_.repository, "main").at(backup.id).until, std::nullopt);
}

TEST_F(BaseBackupTest, RecordsPagesThatTheServerFoundDamaged) {
  archive_needed_wal(archive_);
  server_.warnings = {"checksum verification failed in file \"./base/5/1259\", block 3"};
  EXPECT_TRUE(back_up().damaged_pages.empty());  // of something else, then
  server_.has_damaged_pages = true;
  EXPECT_EQ(back_up().damaged_pages, server_.warnings);
  server_.warnings.assign(100, std::string(1000, 'w'));
  const auto many = back_up();
  ASSERT_EQ(many.damaged_pages.size(), damage_texts_max);
  EXPECT_EQ(many.damaged_pages.front().size(), record_text_bytes_max);
  EXPECT_EQ(many.damaged_pages.back(), "and 69 more");
  server_.warnings.clear();
  EXPECT_EQ(back_up().damaged_pages.size(), 1u);

  const auto list = list_backups(repository_, "main");
  ASSERT_EQ(list.backups.size(), 4u);
  EXPECT_EQ(list.backups[2].damaged_pages, many.damaged_pages);
}

TEST_F(BaseBackupTest, RecordsDataThatTheServerSkipped) {
  archive_needed_wal(archive_);
  server_.skipped = {".s.PGSQL.5432", "postgresql.conf"};
  EXPECT_TRUE(back_up().is_whole());
  server_.skipped.emplace_back("base/16384");
  const auto backup = back_up();
  EXPECT_EQ(backup.skipped_files, (std::vector<std::string>{"base/16384"}));
  EXPECT_FALSE(backup.is_whole());
  EXPECT_EQ(list_backups(repository_, "main").backups[1].skipped_files, backup.skipped_files);
}

TEST_F(BaseBackupTest, RefusesToRunBesideAnotherAndNamesIt) {
  archive_needed_wal(archive_);
  std::string claimed;
  std::string inner;
  server_.before_manifest = [&] {
    FakeServer same;
    same.before_claim = [&](const std::string& slot) { return slot != claimed; };
    inner = words_of_error([&] { (void)walvault::back_up(archive_, same, 77, made_.clock); });
  };
  server_.before_claim = [&](const std::string& slot) {
    claimed = slot;
    return true;
  };
  const auto outer = back_up();
  EXPECT_NE(inner.find(outer.id), std::string::npos) << inner;
  ASSERT_EQ(list_backups(repository_, "main").backups.size(), 1u);

  // Without a slot to spare it runs, and says what that costs.
  server_.before_manifest = [] {};
  server_.before_claim = [](const std::string&) -> bool {
    throw Error(ErrorKind::unavailable, "cannot run CREATE_REPLICATION_SLOT", "all are in use.");
  };
  std::vector<std::string> notes;
  Reporter reporter;
  reporter.info = [&](const std::string& note) { notes.push_back(note); };
  (void)take_base_backup(archive_, server_, id_of(99), made_.clock, {}, reporter);
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_NE(notes[0].find("all are in use"), std::string::npos) << notes[0];
}

// The server does not notice at once that a backup was killed.
TEST_F(BaseBackupTest, WaitsForTheClaimOfAKilledBackupToGo) {
  archive_needed_wal(archive_);
  int asked = 0;
  server_.before_claim = [&](const std::string&) { return ++asked > 3; };
  (void)back_up();
  EXPECT_EQ(asked, 4);
}

TEST_F(BaseBackupTest, LeavesNoBackupWhenTheServerGoesAway) {
  archive_needed_wal(archive_);
  server_.before_manifest = [] { throw Error(ErrorKind::unavailable, "the server went away"); };
  EXPECT_EQ(refusal(), "unavailable");
}

TEST_F(BaseBackupTest, EndsInTheServersTimeAndWarnsWhenTheClocksDiffer) {
  // A target time is compared with the server's times: rather late than early.
  archive_needed_wal(archive_);
  std::vector<std::string> warnings;
  Reporter reporter;
  reporter.warn = [&](const std::string& warning) { warnings.push_back(warning); };
  for (const int ahead : {0, -1, 3600, -3600}) {
    warnings.clear();
    made_.clock.advance(std::chrono::hours(1));
    const auto now = made_.clock.now();
    server_.time = std::chrono::floor<std::chrono::seconds>(now).time_since_epoch().count() + ahead;
    const auto backup =
        take_base_backup(archive_, server_, id_of(++runs_), made_.clock, {}, reporter);
    const bool differs = ahead * ahead > 1;
    EXPECT_EQ(warnings.size(), differs ? 1u : 0u) << ahead;
    const auto expected = differs ? now + std::chrono::seconds(ahead) : now;
    EXPECT_GE(backup.stop_time, expected) << ahead;
    EXPECT_LE(backup.stop_time, expected + std::chrono::seconds(1)) << ahead;
    EXPECT_EQ(backup.start_time, now);
  }
}

TEST_F(BaseBackupTest, ArchivesTheHistoryFileThatItsTimelineNeeds) {
  server_.begin.timeline = server_.end.timeline = {2};
  server_.history = bytes_of("1\t0/200000\tno recovery target specified\n");
  archive_segments(archive_, 2, 3, 4);
  EXPECT_EQ(back_up().timeline, TimelineId{2});
  EXPECT_EQ(archive_.find_file("00000002.history"), server_.history);
  made_.clock.advance(std::chrono::seconds(1));
  EXPECT_EQ(error_of([&] { (void)back_up(); }), "nothing");
  // Another history under that id: two servers were promoted onto it.
  server_.history = bytes_of("1\t0/280000\tno recovery target specified\n");
  made_.clock.advance(std::chrono::seconds(1));
  EXPECT_EQ(error_of([&] { (void)back_up(); }), "conflict");
}

TEST_F(BaseBackupTest, RefusesADamagedHistoryFile) {
  server_.begin.timeline = server_.end.timeline = {2};
  server_.history = bytes_of("gibberish");
  archive_segments(archive_, 2, 3, 4);
  EXPECT_EQ(refusal(), "corrupt");
  EXPECT_EQ(archive_.find_file("00000002.history"), std::nullopt);
}

TEST_F(BaseBackupTest, KeepsTablespacesUnderTheirLinks) {
  archive_needed_wal(archive_);
  server_.tablespaces[16384] = {.location = "/srv/fast",
                                .files = {{"PG_15_202209061/5/1", random_bytes(9000, 8)}}};
  server_.tablespaces[16385] = {.location = "/srv/odd\\dir",
                                .files = {{"PG_15_202209061/5/2", random_bytes(300'000, 9)}}};
  const auto backup = back_up();
  expect_whole_backup(repository_, backup, server_);
  TreeReader tree(repository_, backup_root_key("main", backup.id));
  EXPECT_EQ(parse_tablespace_map(tree.root().notes.at("tablespace_map")),
            (std::vector<Tablespace>{{.oid = 16384, .location = "/srv/fast"},
                                     {.oid = 16385, .location = "/srv/odd\\dir"}}));
  EXPECT_TRUE(entries_of(tree).contains("pg_tblspc/16384/PG_15_202209061"));
}

TEST_F(BaseBackupTest, KeepsModesAndTimes) {
  archive_needed_wal(archive_);
  server_.modes = {{"base", 0750}, {"PG_VERSION", 0640}};
  const auto backup = back_up();
  TreeReader tree(repository_, backup_root_key("main", backup.id));
  const auto entries = entries_of(tree);
  EXPECT_EQ(entries.at("base").mode, 0750u);
  EXPECT_EQ(entries.at("base").kind, EntryKind::directory);
  EXPECT_EQ(entries.at("PG_VERSION").mode, 0640u);
  EXPECT_EQ(entries.at("PG_VERSION").mtime, server_.time);
}

// It does not come to its end, and the next one finds what it has stored.
TEST_F(BaseBackupTest, GoesOnFromWhatAnUnfinishedOneHasStored) {
  BaseBackupRequest request;
  request.unfinished_bytes_min = 1;
  // More than is under way when it ends.
  for (int i = 10; i < 26; ++i) {
    server_.files["base/5/90" + std::to_string(i)] =
        random_bytes(3'000'000, static_cast<std::uint64_t>(i));
  }
  server_.before_manifest = [] { throw Error(ErrorKind::unavailable, "the server is gone"); };
  EXPECT_EQ(refusal(request), "unavailable");
  EXPECT_FALSE(keys_under(made_.storage, "unfinished/").empty());
  server_.before_manifest = [] {};
  archive_needed_wal(archive_);
  made_.clock.advance(std::chrono::seconds(1));
  const auto second = back_up();
  EXPECT_LT(second.new_bytes, 30'000'000u);
  expect_whole_backup(repository_, second, server_);
  // What is older than the parent is passed over.
  made_.clock.advance(std::chrono::seconds(1));
  EXPECT_EQ(back_up().parent_id, second.id);
  EXPECT_TRUE(
      find_unfinished(made_.repository, "backups/main/", backup_root_key("main", second.id), 2)
          .empty());
}

TEST_F(BaseBackupTest, TheFirstBorrowsFromACopyAndNothingOfThatStopsIt) {
  archive_needed_wal(archive_);
  (void)add_cluster(made_.repository, test_cluster());
  (void)back_up();
  auto copy = test_cluster();
  copy.name = "copy";
  (void)add_cluster(made_.repository, copy);
  const WalArchive archive_of_copy(repository_, copy);
  archive_needed_wal(archive_of_copy);
  made_.clock.advance(std::chrono::seconds(1));
  const auto first = walvault::back_up(archive_of_copy, server_, ++runs_, made_.clock, {});
  EXPECT_EQ(first.new_bytes, 0u);
  EXPECT_EQ(first.parent_id, "");
  expect_whole_backup(repository_, first, server_);

  auto another = test_cluster();
  another.name = "another";
  const WalArchive archive_of_another(repository_, another);
  archive_needed_wal(archive_of_another);
  ASSERT_TRUE(made_.storage.put_if_absent("clusters/bad/1", as_bytes("no cluster")));
  ASSERT_TRUE(made_.storage.put_if_absent("clusters/x.bak/1", as_bytes("no cluster")));
  made_.clock.advance(std::chrono::seconds(1));
  const auto second = walvault::back_up(archive_of_another, server_, ++runs_, made_.clock, {});
  EXPECT_EQ(second.new_bytes, 0u);
}

}  // namespace
}  // namespace walvault
