// The WAL reader against pg_waldump, record by record, on WAL of real servers.
#include <gmock/gmock.h>

#include <algorithm>
#include <array>
#include <boost/filesystem.hpp>
#include <regex>
#include <set>
#include <sstream>

#include "base/clock.h"
#include "base/file.h"
#include "postgres/segment_name.h"
#include "postgres/wal_summary.h"
#include "support/main_job.h"
#include "support/temporary_directory.h"

namespace walvault {
namespace {

namespace fs = boost::filesystem;
using ::testing::IsSupersetOf;

const std::array<std::string, 22> manager_names = {
    "XLOG",       "Transaction",   "Storage", "CLOG",     "Database",
    "Tablespace", "MultiXact",     "RelMap",  "Standby",  "Heap2",
    "Heap",       "Btree",         "Hash",    "Gin",      "Gist",
    "Sequence",   "SPGist",        "BRIN",    "CommitTs", "ReplicationOrigin",
    "Generic",    "LogicalMessage"};
const std::array<std::string, 4> fork_names = {"main", "fsm", "vm", "init"};

// A record in one line, of what both programs know of it.
struct Line {
  std::string text;
  bool operator==(const Line&) const = default;
};
void PrintTo(const Line& line, std::ostream* out) { *out << line.text; }

Line line_of(const WalRecord& record, const WalRecordParts& parts, int major) {
  std::ostringstream out;
  const auto manager = static_cast<std::size_t>(record.manager);
  out << manager_names.at(manager) << " " << record.length << " tx " << record.xid << " at "
      << record.start.text() << " prev " << record.previous.text();
  for (std::size_t i = 0; i < parts.block_count; ++i) {
    const auto& block = parts.blocks.at(i);
    out << " #" << int{block.id} << " " << block.relation.tablespace << "/"
        << block.relation.database << "/" << block.relation.number << " "
        << fork_names.at(block.fork) << " " << block.block << (block.image_bytes ? " image" : "");
  }
  if (const auto end = transaction_record(record, parts.main, major)) {
    out << " ended " << to_rfc3339(end->time);
    if (end->prepared) out << " as " << end->xid;
    for (const auto& file : end->dropped) out << " dropped " << file.number;
    for (const auto xid : end->subtransactions) out << " with " << xid;
  }
  return {out.str()};
}

// From a line of pg_waldump.
Line line_of(const std::string& dumped) {
  static const std::regex form(
      R"(^rmgr: (\w+) +len \(rec/tot\): +\d+/ *(\d+), tx: +(\d+), lsn: ([0-9A-F/]+), prev ([0-9A-F/]+), desc: )");
  static const std::regex block_form(
      R"(blkref #(\d+): rel (\d+/\d+/\d+) (?:fork (\w+) )?blk (\d+)( FPW)?)");
  static const std::regex end_form(
      R"(^(COMMIT|ABORT)(_PREPARED)?(?: (\d+):)? (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6} UTC))");
  std::smatch match;
  if (!std::regex_search(dumped, match, form)) {
    ADD_FAILURE() << "not understood: " << dumped;
    return {};
  }
  std::ostringstream out;
  out << match[1] << " " << match[2] << " tx " << match[3] << " at "
      << Lsn::parse(match[4].str()).value().text() << " prev "
      << Lsn::parse(match[5].str()).value().text();
  const auto description = match.suffix().str();
  for (std::sregex_iterator it(description.begin(), description.end(), block_form), none;
       it != none; ++it) {
    out << " #" << (*it)[1] << " " << (*it)[2] << " "
        << ((*it)[3].matched ? (*it)[3].str() : "main") << " " << (*it)[4]
        << ((*it)[5].matched ? " image" : "");
  }
  std::smatch end;
  if (match[1] == "Transaction" && std::regex_search(description, end, end_form)) {
    out << " ended " << to_rfc3339(parse_timestamp(end[4].str()));
    if (end[2].matched) out << " as " << end[3];
    const auto numbers = [&](const std::string& what, const std::string& each, const char* word) {
      const auto from = description.find("; " + what + ": ");
      if (from == std::string::npos) return;
      const auto list = description.substr(from + 4 + what.size());
      std::istringstream items(list.substr(0, list.find(';')));
      for (std::string item; items >> item;) {
        if (item == "xacts:") continue;
        out << " " << word << " " << item.substr(each.empty() ? 0 : item.rfind(each) + 1);
      }
    };
    numbers("rels", "/", "dropped");
    numbers("subxacts", "", "with");
  }
  return {out.str()};
}

std::vector<std::string> segments_of(const PostgresServer& server) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(server.data() + "/pg_wal")) {
    const auto name = entry.path().filename().string();
    if (classify_wal_file(name) == WalFileKind::segment) names.push_back(name);
  }
  std::ranges::sort(names);
  return names;
}

// Something of every resource manager.
void work(PostgresServer& server, const std::string& tablespace, int major) {
  (void)server.sql("CREATE TABLE t (n int PRIMARY KEY, text text, ns int[], p point, r int4range)");
  for (const auto* index : {"USING hash (text)", "USING gin (ns)", "USING gist (r)",
                            "USING spgist (p)", "USING brin (n)"}) {
    (void)server.sql(std::string("CREATE INDEX ON t ") + index);
  }
  (void)server.sql(
      "INSERT INTO t SELECT n, md5(n::text), ARRAY[n % 7, n % 11], point(n % 100, n / 100), "
      "int4range(n, n + 5) FROM generate_series(1, 8000) n");
  (void)server.sql("COPY t TO '" + server.data() + "/t.copy'");
  (void)server.sql("CREATE TABLE u (LIKE t)");
  (void)server.sql("COPY u FROM '" + server.data() + "/t.copy'");
  (void)server.sql("CREATE SEQUENCE s; SELECT nextval('s') FROM generate_series(1, 100)");
  (void)server.sql("UPDATE t SET text = text || 'x' WHERE n % 3 = 0; DELETE FROM t WHERE n < 2000");
  (void)server.sql("VACUUM t");
  (void)server.sql(
      "BEGIN; SAVEPOINT a; INSERT INTO u SELECT * FROM t LIMIT 10; SAVEPOINT b; "
      "DELETE FROM u WHERE n < 2100; ROLLBACK TO b; DROP TABLE u; COMMIT");
  (void)server.sql(
      "BEGIN; SELECT * FROM t WHERE n = 5000 FOR KEY SHARE; SAVEPOINT a; "
      "UPDATE t SET text = 'y' WHERE n = 5000; ROLLBACK TO a; SAVEPOINT b; "
      "SELECT * FROM t WHERE n = 5001 FOR SHARE; UPDATE t SET text = 'z' WHERE n = "
      "5001; COMMIT");
  (void)server.sql("BEGIN; CREATE TABLE v AS SELECT 1 AS n; PREPARE TRANSACTION 'one'");
  (void)server.sql("BEGIN; SAVEPOINT a; DROP TABLE t; PREPARE TRANSACTION 'two'");
  (void)server.sql("COMMIT PREPARED 'one'");
  (void)server.sql("ROLLBACK PREPARED 'two'");
  (void)server.sql("TRUNCATE v");
  (void)server.sql("CREATE TABLESPACE space LOCATION '" + tablespace + "'");
  (void)server.sql("CREATE DATABASE d TABLESPACE space");
  if (major >= 15) (void)server.sql("CREATE DATABASE e STRATEGY file_copy");
  (void)server.sql("DROP DATABASE d");
  (void)server.sql("VACUUM FULL pg_class");
  (void)server.sql("SELECT pg_logical_emit_message(true, 'a', repeat('b', 20000))");
  (void)server.sql("SELECT pg_replication_origin_create('o')");
  (void)server.sql(
      "BEGIN; SELECT pg_replication_origin_session_setup('o'); "
      "SELECT pg_replication_origin_xact_setup('0/1234', now()); "
      "INSERT INTO v VALUES (2); COMMIT; "
      "SELECT pg_replication_origin_session_reset(); "
      "SELECT pg_replication_origin_drop('o')");
  (void)server.sql("SELECT pg_create_restore_point('here')");
  (void)server.sql("CHECKPOINT");
  (void)server.sql("INSERT INTO v SELECT n FROM generate_series(1, 10000) n");
  (void)server.sql("SELECT pg_switch_wal()");
  (void)server.sql("DROP TABLE v");
}

struct ReaderCase {
  int major;
  std::string compression;
};
class WalReaderTest : public ::testing::TestWithParam<ReaderCase> {};
INSTANTIATE_TEST_SUITE_P(Majors, WalReaderTest,
                         ::testing::Values(ReaderCase{13, "on"}, ReaderCase{14, "on"},
                                           ReaderCase{15, "on"}, ReaderCase{15, "off"},
                                           ReaderCase{16, "on"}, ReaderCase{17, "on"},
                                           ReaderCase{18, "on"}),
                         [](const auto& of) {
                           return "Postgres" + std::to_string(of.param.major) + "Compression" +
                                  of.param.compression;
                         });

std::vector<Line> lines_of_pg_waldump(PostgresServer& server,
                                      const std::vector<std::string>& names) {
  std::vector<Line> expected;
  const auto dumped =
      server.tool({"pg_waldump", "-p", server.data() + "/pg_wal", names.front(), names.back()});
  std::set<std::string> managers;
  std::istringstream lines(dumped.out);
  for (std::string line; std::getline(lines, line);) {
    expected.push_back(line_of(line));
    managers.insert(expected.back().text.substr(0, expected.back().text.find(' ')));
  }
  // CLOG and CommitTs write when a page is full: thousands of transactions.
  EXPECT_THAT(managers,
              IsSupersetOf({"XLOG", "Transaction", "Storage", "Database", "Tablespace", "MultiXact",
                            "RelMap", "Standby", "Heap2", "Heap", "Btree", "Hash", "Gin", "Gist",
                            "Sequence", "SPGist", "BRIN", "ReplicationOrigin", "LogicalMessage"}))
      << dumped.err;
  return expected;
}

// Segment by segment it comes to the same, and the parts fit.
void expect_same_by_segment(const std::vector<WalSummary>& summaries,
                            const std::vector<Line>& read) {
  std::uint64_t records = 0;
  std::uint64_t ends = 0;
  for (std::size_t i = 0; i < summaries.size(); ++i) {
    const auto& summary = summaries[i];
    records += summary.records + (summary.tail && i + 1 < summaries.size() ? 1 : 0);
    ends += summary.commits + summary.aborts;
    EXPECT_EQ(summary.not_understood, 0u);
    if (i + 1 == summaries.size()) break;
    EXPECT_FALSE(summary.stop) << summary.stop->text;
    const auto& next = summaries[i + 1];
    ASSERT_EQ(summary.tail.has_value(), next.head.bytes > 0);
    if (summary.tail) {
      EXPECT_EQ(check_seam(*summary.tail, {&next.head, 1}), std::nullopt);
      EXPECT_EQ(next.first_previous, summary.tail->start);
    } else {
      EXPECT_EQ(next.first_previous, summary.last);
    }
  }
  EXPECT_EQ(records, read.size());
  const auto ended = std::ranges::count_if(
      read, [](const Line& line) { return line.text.find(" ended ") != std::string::npos; });
  // One whose record crosses into the next segment may count in neither.
  EXPECT_LE(ends, static_cast<std::uint64_t>(ended));
  EXPECT_GE(ends + 2, static_cast<std::uint64_t>(ended));
}

TEST_P(WalReaderTest, ReadsWhatPgWaldumpReads) {
  const auto major = GetParam().major;
  TestDirectory directory;
  PostgresServer server(directory, major, "pg", std::vector<std::string>{"--wal-segsize=1"});
  server.configure("wal_level = logical\nmax_prepared_transactions = 5\nwal_keep_" +
                   std::string("size = 1GB\ntrack_commit_timestamp = on\nwal_compression = ") +
                   GetParam().compression + "\nwal_log_hints = on\n");
  ASSERT_TRUE(server.start()) << server.log();
  const auto tablespace = directory.path("space");
  // Its owner has to be the server's.
  (void)server.sql("COPY (SELECT 1) TO PROGRAM 'cat > /dev/null && mkdir " + tablespace + "'");
  work(server, tablespace, major);
  const auto end = Lsn::parse(server.sql("SELECT pg_current_wal_insert_lsn()")).value();
  server.stop();

  const auto names = segments_of(server);
  // The servers of 14 and 16 come without it: then the checksums, the chain and
  // the end tell.
  const bool has_pg_waldump = fs::exists(server.programs() + "/pg_waldump");
  ::setenv("TZ", "UTC", 1);
  std::vector<Line> expected;
  if (has_pg_waldump) {
    expected = lines_of_pg_waldump(server, names);
  }

  std::vector<Line> read;
  WalRecordParts parts;
  std::optional<WalReader> reader;
  std::vector<WalSummary> summaries;
  for (const auto& name : names) {
    const auto wal = read_file(server.data() + "/pg_wal/" + name, 1u << 20);
    const auto segment = SegmentName::parse(name, WalGeometry{1u << 20}).value();
    // Behind the end lie segments that are only kept for use.
    if (segment.start(WalGeometry{1u << 20}) > end) break;
    const auto first = parse_wal_segment_header(wal);
    if (!reader) reader.emplace(first, segment.start(WalGeometry{1u << 20}), segment.timeline);
    reader->read(wal, [&](const WalRecord& record) {
      parse_wal_record(record, major, parts);
      read.push_back(line_of(record, parts, major));
    });
    WalSummarizer summarizer(first, segment.start(WalGeometry{1u << 20}), segment.timeline);
    summarizer.read(wal);
    summaries.push_back(summarizer.finish());
  }
  ASSERT_GT(read.size(), 10'000u);
  if (has_pg_waldump) {
    for (std::size_t i = 0; i < std::min(read.size(), expected.size()); ++i) {
      ASSERT_EQ(read[i], expected[i]) << i;
    }
    EXPECT_EQ(read.size(), expected.size());
  }
  ASSERT_TRUE(reader->stop());
  EXPECT_NE(reader->stop()->reason, WalStopReason::damage) << reader->stop()->text;
  EXPECT_GE(reader->end(), end);

  expect_same_by_segment(summaries, read);
}

}  // namespace
}  // namespace walvault
