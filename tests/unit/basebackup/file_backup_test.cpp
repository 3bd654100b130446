// Backups of files read beside the server, with a server that only answers: what
// happens to the files meanwhile the test decides.
#include "basebackup/file_backup.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "postgres/data_page.h"
#include "repository/gc_plan.h"
#include "support/errors.h"
#include "support/fake_server.h"
#include "support/memory_repository.h"
#include "support/temporary_directory.h"
#include "support/tree_content.h"

namespace walvault {
namespace {

namespace fs = std::filesystem;
using std::chrono::hours;
using std::chrono::seconds;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class FakeSql final : public SqlConnection {
 public:
  std::vector<std::string> asked;
  FakeServer server;  // what it says of itself
  std::string tablespace_map;
  bool may_stop = true;

  std::vector<SqlRow> query(const std::string& sql) override {
    asked.push_back(sql);
    const auto asks_for = [&](std::string_view what) {
      return sql.find(what) != std::string::npos;
    };
    if (asks_for("has_function_privilege")) {
      return {{asks_for("stop") && !may_stop ? "f" : "t", "someone"}};
    }
    if (asks_for("start")) return {{server.begin.lsn.text()}};
    if (asks_for("stop")) {
      return {{server.end.lsn.text(), to_hex(as_bytes(server.label_text())),
               to_hex(as_bytes(tablespace_map))}};
    }
    return {{""}};
  }
};

class FileBackupTest : public testing::Test {
 protected:
  FileBackupTest() {
    identity_.name = "main";
    identity_.system_identifier = test_system_identifier;
    identity_.postgres_major = 15;
    for (const auto& [path, content] : sql_.server.files) write(path, content);
    // Behind the files, which are as old as they look.
    clock_.advance(hours(1));
  }

  void write(const std::string& path, ByteView content) const {
    const fs::path full = directory_.path("pg/" + path);
    fs::create_directories(full.parent_path());
    std::ofstream(full, std::ios::binary) << as_text(content);
  }
  void set_time(const std::string& path, std::int64_t time) const {
    const struct timespec times[2] = {{.tv_sec = time, .tv_nsec = 0},
                                      {.tv_sec = time, .tv_nsec = 0}};
    ASSERT_EQ(::utimensat(AT_FDCWD, directory_.path("pg/" + path).c_str(), times, 0), 0);
  }

  struct Made {
    std::string root_key;
    BackupContent content;
    TreeWriter::Totals totals;
  };
  // Knows the files of `parent`, if there is one.
  Made back_up(const std::string& parent = "") {
    const auto number = ++made_count_;
    Made made{
        .root_key = "backups/main/" + std::to_string(number) + "/1", .content = {}, .totals = {}};
    notes_.clear();
    warnings_.clear();
    damaged_.clear();
    skipped_.clear();
    const WriterSession session(repository_.repository, repository_.clock, id_of(number),
                                made.root_key, parent);
    TreeWriter tree(session, {});
    FileBackupRequest request;
    request.data_directory = directory_.path("pg");
    request.label = "it's \\ a test";
    request.known_since = known_since_;
    if (session.parent() != nullptr) {
      request.known = KnownFiles(repository_.repository, *session.parent());
    }
    made.content =
        back_up_files(identity_, sql_, clock_, tree, request,
                      {.started = [](Lsn, std::uint64_t) {},
                       .damaged_page = [&](const std::string& text) { damaged_.push_back(text); },
                       .skipped = [&](const std::string& path) { skipped_.push_back(path); }},
                      {.info = [&](const std::string& text) { notes_.push_back(text); },
                       .warn = [&](const std::string& text) { warnings_.push_back(text); },
                       .check_cancelled = [&] { check_(); }},
                      {});
    session.commit(encode_root(ObjectCodec(), tree.finish(), made.root_key));
    made.totals = tree.totals();
    return made;
  }

  [[nodiscard]] Files files_of(const Made& made) const {
    TreeReader tree(repository_.repository, made.root_key);
    return read_tree(tree);
  }
  // By path, the size that the manifest gives.
  [[nodiscard]] std::map<std::string, std::uint64_t> manifest_of(const Made& made) const {
    std::map<std::string, std::uint64_t> sizes;
    ManifestReader reader([&](const ManifestFile& file) { sizes[file.path] = file.size; });
    TreeReader tree(repository_.repository, made.root_key);
    tree.read_stream(manifest_stream, [&](ByteView part) { reader.feed(part); });
    reader.finish();
    return sizes;
  }

  MemoryRepository repository_;
  FakeClock clock_{std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now())};
  TemporaryDirectory directory_;
  ClusterIdentity identity_;
  FakeSql sql_;
  Timestamp known_since_{};
  std::function<void()> check_ = [] {};
  std::vector<std::string> notes_;
  std::vector<std::string> warnings_;
  std::vector<std::string> damaged_;
  std::vector<std::string> skipped_;
  std::uint8_t made_count_ = 0;
};

TEST_F(FileBackupTest, HoldsTheFilesAndWhatTheServerSays) {
  const auto made = back_up();
  EXPECT_TRUE(files_of(made) == sql_.server.files);
  EXPECT_EQ(made.content.label.start, sql_.server.begin.lsn);
  EXPECT_EQ(made.content.stop.lsn, sql_.server.end.lsn);
  EXPECT_EQ(made.content.stop.timeline, TimelineId{1});
  EXPECT_EQ(made.content.control.system_identifier, test_system_identifier);
  auto sizes = manifest_of(made);
  EXPECT_EQ(sizes.at("backup_label"), sql_.server.label_text().size());
  sizes.erase("backup_label");
  ASSERT_EQ(sizes.size(), sql_.server.files.size());
  for (const auto& [path, content] : sql_.server.files) EXPECT_EQ(sizes.at(path), content.size());
  EXPECT_THAT(sql_.asked,
              Contains("SELECT pg_catalog.pg_backup_start(E'it''s \\\\ a test', true)"));
  EXPECT_TRUE(warnings_.empty() && notes_.empty() && damaged_.empty());
}

TEST_F(FileBackupTest, TellsWhatItSkips) {
  fs::create_symlink("elsewhere", directory_.path("pg/base/5/77777"));
  (void)back_up();
  EXPECT_EQ(skipped_, (std::vector<std::string>{"base/5/77777"}));
}

TEST_F(FileBackupTest, AsksOlderServersByTheOlderNames) {
  identity_.postgres_major = 13;
  (void)back_up();
  EXPECT_THAT(sql_.asked,
              Contains("SELECT pg_catalog.pg_start_backup(E'it''s \\\\ a test', true, false)"));
  EXPECT_THAT(sql_.asked.back(), HasSubstr("pg_stop_backup(false, false)"));
  EXPECT_THAT(sql_.asked, Not(Contains(HasSubstr("idle_session_timeout"))));
}

TEST_F(FileBackupTest, RefusesADirectoryThatIsNotTheServers) {
  sql_.server.begin.lsn.value += 1u << 20;  // behind the last checkpoint there
  const auto error = expect_error(ErrorKind::conflict, [&] { (void)back_up(); });
  EXPECT_THAT(error.message(), HasSubstr("is not the server's data directory"));
  sql_.server = {};
  identity_.system_identifier = 1;
  (void)expect_error(ErrorKind::conflict, [&] { (void)back_up(); });
}

TEST_F(FileBackupTest, SaysThatItCanNotReadBeforeTheServerIsAsked) {
  fs::remove(directory_.path("pg/global/pg_control"));
  (void)expect_error(ErrorKind::usage, [&] { (void)back_up(); });
  EXPECT_THAT(sql_.asked, IsEmpty());
  write("global/pg_control", Bytes(8192, 1));
  (void)expect_error(ErrorKind::corrupt, [&] { (void)back_up(); });
}

// The second time it is asked, it is whole.
TEST_F(FileBackupTest, LooksAgainAtATornControlFile) {
  write("global/pg_control", Bytes(8192, 1));
  class Healing final : public Clock {
   public:
    explicit Healing(std::function<void()> heal) : heal_(std::move(heal)) {}
    Timestamp now() override { return Timestamp(seconds(1'900'000'000)); }
    void sleep_for(std::chrono::milliseconds) override { heal_(); }

   private:
    std::function<void()> heal_;
  } healing([&] { write("global/pg_control", control_file()); });
  const WriterSession session(repository_.repository, repository_.clock, id_of(9), "backups/x/1",
                              "");
  TreeWriter tree(session, {});
  FileBackupRequest request;
  request.data_directory = directory_.path("pg");
  const auto content = back_up_files(identity_, sql_, healing, tree, request,
                                     {.started = [](Lsn, std::uint64_t) {},
                                      .damaged_page = [](const std::string&) {},
                                      .skipped = [](const std::string&) {}},
                                     {}, {});
  EXPECT_EQ(content.control.checkpoint, ControlFileSpec{}.checkpoint);
  (void)tree.finish();
}

TEST_F(FileBackupTest, AFileThatGoesIsMissingAndOneThatShrinksIsFilledUp) {
  write("base/5/1", random_bytes(3'000'000, 1));
  write("base/5/2", random_bytes(100'000, 2));
  write("base/5/3", random_bytes(5'000'000, 3));
  bool done = false;
  int checks = 0;
  check_ = [&] {
    // In the second walk, when the file was asked for and not read yet.
    if (++checks < 12 || done) return;
    done = true;
    fs::remove(directory_.path("pg/base/5/2"));
    fs::remove(directory_.path("pg/base/5/3000"));
    fs::resize_file(directory_.path("pg/base/5/1"), 500'000);
    fs::resize_file(directory_.path("pg/base/5/2619"), 100'000);  // grows
  };
  const auto made = back_up();
  ASSERT_TRUE(done);
  const auto files = files_of(made);
  EXPECT_FALSE(files.contains("base/5/3000"));
  for (const auto& [path, size] : manifest_of(made)) {
    if (path == "backup_label") continue;
    EXPECT_EQ(files.at(path).size(), size) << path;
  }
  EXPECT_TRUE(files.at("base/5/3") == random_bytes(5'000'000, 3));
}

TEST_F(FileBackupTest, AFileOpenedBeforeItIsCutIsAsLongAsItWas) {
  const auto content = random_bytes(40'000'000, 1);
  write("zz", content);
  check_ = [&, parts = 0]() mutable {
    // In the midst of it: once for each part.
    if (++parts == 40) fs::resize_file(directory_.path("pg/zz"), 1'000'000);
  };
  const auto made = back_up();
  const auto got = files_of(made).at("zz");
  ASSERT_EQ(got.size(), content.size());
  EXPECT_TRUE(std::equal(got.begin(), got.begin() + 1'000'000, content.begin()));
  EXPECT_TRUE(std::all_of(got.end() - 1'000'000, got.end(), [](auto byte) { return byte == 0; }));
}

TEST_F(FileBackupTest, ReadsAgainWhatWasWrittenToAndNothingElse) {
  write("base/5/changed", random_bytes(300'000, 1));
  write("base/5/replaced", random_bytes(300'000, 2));
  write("base/5/touched", random_bytes(300'000, 3));
  write("base/5/longer", random_bytes(300'000, 4));
  const auto first = back_up();
  // Nothing that a size would show.
  write("base/5/changed", random_bytes(300'000, 5));
  write("replacement", random_bytes(300'000, 6));
  struct stat status {};
  ASSERT_EQ(::stat(directory_.path("pg/base/5/replaced").c_str(), &status), 0);
  fs::rename(directory_.path("pg/replacement"), directory_.path("pg/base/5/replaced"));
  set_time("base/5/replaced", status.st_mtim.tv_sec);
  set_time("base/5/touched", 1'000'000'000);
  write("base/5/longer", random_bytes(300'001, 4));
  auto expected = files_of(first);
  expected["base/5/changed"] = random_bytes(300'000, 5);
  expected["base/5/replaced"] = random_bytes(300'000, 6);
  expected["base/5/longer"] = random_bytes(300'001, 4);

  const auto second = back_up(first.root_key);
  EXPECT_TRUE(files_of(second) == expected);
  EXPECT_THAT(notes_, Contains(HasSubstr("7 of 11 files were not written to")));
  // What it did not read either is known to the next.
  const auto third = back_up(second.root_key);
  EXPECT_THAT(notes_, Contains(HasSubstr("11 of 11 files")));
  EXPECT_TRUE(files_of(third) == expected);
  EXPECT_EQ(third.totals.new_bytes, 0u);
  EXPECT_EQ(manifest_of(third).size(), manifest_of(second).size());
}

// A file system's clock may stand still for two seconds.
TEST_F(FileBackupTest, AFileThatWasJustWrittenIsReadTheNextTime) {
  const auto first = back_up();
  EXPECT_FALSE(would_show_writes({.modified = 5'000'000'000, .changed = 1}, Timestamp(seconds(6))));
  EXPECT_FALSE(would_show_writes({.modified = 1, .changed = 5'000'000'000}, Timestamp(seconds(6))));
  EXPECT_TRUE(would_show_writes({.modified = 4'000'000'000, .changed = 1}, Timestamp(seconds(6))));
  clock_.jump(-hours(1) + seconds(1));
  write("new", random_bytes(1000, 1));
  const auto second = back_up(first.root_key);
  clock_.advance(hours(1));
  (void)back_up(second.root_key);
  EXPECT_THAT(notes_, Contains(HasSubstr("7 of 8 files were not written to")));
}

TEST_F(FileBackupTest, ReadsEverythingWhereTimesTellNothing) {
  const auto first = back_up();
  known_since_ = clock_.now() + seconds(1);
  (void)back_up(first.root_key);
  EXPECT_THAT(warnings_,
              Contains(HasSubstr("the clock is earlier than the time of the previous backup")));
  EXPECT_THAT(notes_, IsEmpty());
  known_since_ = {};
  set_time("base/5/1259", 3'000'000'000);
  (void)back_up(first.root_key);
  EXPECT_THAT(warnings_, Contains(HasSubstr("a file was written to in the future")));
  EXPECT_THAT(notes_, IsEmpty());
}

TEST_F(FileBackupTest, ReadsAfterAllWhatMayNotBeBorrowed) {
  const auto first = back_up();
  GcPlan plan;
  const TreeReader tree(repository_.repository, first.root_key);
  for (const auto& pack : tree.root().packs.entries()) plan.condemned.add(pack.name, pack.size);
  // Its streams can still be read.
  ASSERT_TRUE(repository_.repository.put_sealed(ObjectKind::plan, "plans/x", encode_gc_plan(plan)));
  const auto second = back_up(first.root_key);
  EXPECT_TRUE(files_of(second) == files_of(first));
  EXPECT_EQ(second.totals.new_bytes, first.totals.new_bytes);
  // An empty file, and one of zeros: they lie in no pack.
  EXPECT_THAT(notes_, Contains(HasSubstr("2 of 7 files")));
}

TEST_F(FileBackupTest, TellsWhichPagesAreDamaged) {
  Bytes pages(4 * data_page_bytes);
  for (std::uint32_t block = 0; block < 4; ++block) {
    const auto page = std::span(pages).subspan(block * data_page_bytes, data_page_bytes);
    page[12] = 24;
    page[15] = 32;  // upper: it was written to
    page[100] = static_cast<std::uint8_t>(block);
    const auto sum = page_checksum(page, block);
    page[8] = static_cast<std::uint8_t>(sum);
    page[9] = static_cast<std::uint8_t>(sum >> 8);
  }
  write("base/5/16384", pages);
  (void)back_up();
  EXPECT_THAT(damaged_, Not(Contains(HasSubstr("16384"))));
  pages[2 * data_page_bytes + 5000] ^= 1;
  write("base/5/16384", pages);
  const auto made = back_up();
  EXPECT_THAT(damaged_, Contains("checksum verification failed in \"base/5/16384\", block 2"));
  EXPECT_TRUE(files_of(made).at("base/5/16384") == pages) << "it is kept as it is";
  // However old the file is, the next one tells it too.
  clock_.advance(hours(1));
  (void)back_up(back_up().root_key);
  EXPECT_THAT(damaged_, Contains(HasSubstr("16384")));
}

// The map that the server gives names what was there when it began.
TEST_F(FileBackupTest, ATablespaceThatWasMadeWhileItBeganIsNotForgotten) {
  fs::create_directories(directory_.path("space/PG_15_202209061/5"));
  std::ofstream(directory_.path("space/PG_15_202209061/5/16400")) << "x";
  sql_.tablespace_map = "16399 " + directory_.path("space") + "\n";
  const auto error = expect_error(ErrorKind::unavailable, [&] { (void)back_up(); });
  EXPECT_THAT(error.detail(), HasSubstr(directory_.path("space")));
  fs::create_directories(directory_.path("pg/pg_tblspc"));
  fs::create_directory_symlink(directory_.path("space"), directory_.path("pg/pg_tblspc/16399"));
  const auto made = back_up();
  EXPECT_TRUE(files_of(made).contains("pg_tblspc/16399/PG_15_202209061/5/16400"));
  EXPECT_EQ(as_text(made.content.notes.at("tablespace_map")), sql_.tablespace_map);
}

TEST_F(FileBackupTest, WhoMayNotEndItDoesNotBeginIt) {
  sql_.may_stop = false;
  const auto error = expect_error(ErrorKind::usage, [&] { (void)back_up(); });
  EXPECT_THAT(error.hint(), HasSubstr("GRANT EXECUTE ON FUNCTION pg_backup_start(text, boolean), "
                                      "pg_backup_stop(boolean) TO someone"));
  EXPECT_THAT(sql_.asked, Not(Contains(HasSubstr("pg_backup_start(E'"))));
}

TEST_F(FileBackupTest, ADamagedListOfFingerprintsIsAnError) {
  const WriterSession session(repository_.repository, repository_.clock, id_of(9), "backups/x/1",
                              "");
  TreeWriter tree(session, {});
  tree.begin_stream(std::string(attributes_stream));
  tree.append_to_stream(std::string(attributes_stream), Bytes(17, 1));
  tree.end_stream(std::string(attributes_stream));
  const auto root = tree.finish();
  (void)expect_error(ErrorKind::corrupt, [&] { (void)KnownFiles(repository_.repository, root); });
}

}  // namespace
}  // namespace walvault
