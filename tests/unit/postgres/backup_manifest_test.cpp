#include "postgres/backup_manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "codec/crc32c.h"
#include "support/damage.h"
#include "support/errors.h"

namespace walvault {
namespace {

using testing::HasSubstr;

// The last line of a manifest: the SHA-256 of all that stands before it.
std::string checksum_line(std::string_view body) {
  return "\"Manifest-Checksum\": \"" + sha256(as_bytes(body)).hex() + "\"}\n";
}

// A manifest of these file lines, written line for line as a server does.
std::string manifest(const std::vector<std::string>& file_lines,
                     const std::string& start = "{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n") {
  std::string body = start + "\"Files\": [";
  for (std::size_t i = 0; i < file_lines.size(); ++i) {
    body += (i == 0 ? "\n" : ",\n") + file_lines[i];
  }
  body +=
      "\n],\n"
      "\"WAL-Ranges\": [\n"
      "{ \"Timeline\": 1, \"Start-LSN\": \"0/2000028\", \"End-LSN\": \"0/2000100\" }\n"
      "],\n";
  return body + checksum_line(body);
}

const std::string label_line =
    R"({ "Path": "backup_label", "Size": 224, "Last-Modified": "2026-11-21 10:41:00 GMT", )"
    R"("Checksum-Algorithm": "CRC32C", "Checksum": "a1b2c3d4" })";
const std::string map_line =
    R"({ "Path": "tablespace_map", "Size": 21, "Last-Modified": "2026-11-21 10:41:01 GMT", )"
    R"("Checksum-Algorithm": "CRC32C", "Checksum": "01020304" })";
const std::string control_line =
    R"({ "Path": "global/pg_control", "Size": 8192, "Last-Modified": "2026-11-21 10:41:02 GMT", )"
    R"("Checksum-Algorithm": "CRC32C", "Checksum": "0d0c0b0a" })";

std::string file_line(const std::string& path_and_size) {
  return "{ " + path_and_size + R"(, "Last-Modified": "2026-11-21 10:41:00 GMT" })";
}

void feed_in_pieces(auto& sink, std::string_view text, std::size_t piece) {
  for (std::size_t at = 0; at < text.size(); at += piece) {
    sink.feed(as_bytes(text.substr(at, piece)));
  }
}

std::vector<ManifestFile> read(std::string_view text, std::size_t piece = 65536) {
  std::vector<ManifestFile> files;
  ManifestReader reader([&](const ManifestFile& file) { files.push_back(file); });
  feed_in_pieces(reader, text, piece);
  reader.finish();
  return files;
}

std::string only_path(const std::string& line) { return read(manifest({line})).at(0).path; }

Error expect_refused(std::string_view text) {
  SCOPED_TRACE(text);
  return expect_error(ErrorKind::corrupt, [&] { (void)read(text); });
}

TEST(ManifestReader, CallsBackForEachFile) {
  const auto files = read(manifest({label_line, map_line, control_line}));
  ASSERT_EQ(files.size(), 3u);
  EXPECT_EQ(files[0].path, "backup_label");
  EXPECT_EQ(files[0].size, 224u);
  EXPECT_EQ(files[0].checksum_algorithm, "CRC32C");
  EXPECT_EQ(files[0].checksum, "a1b2c3d4");
  EXPECT_EQ(files[2].path, "global/pg_control");
  EXPECT_EQ(files[2].size, 8192u);
}

TEST(ManifestReader, ReadsPiecesOfEverySize) {
  const auto text = manifest({label_line, map_line, control_line});
  for (std::size_t piece = 1; piece <= text.size(); ++piece) {
    const auto files = read(text, piece);
    ASSERT_EQ(files.size(), 3u) << piece;
    EXPECT_EQ(files[1].path, "tablespace_map") << piece;
  }
}

TEST(ManifestReader, ReadsTheSecondVersionToo) {
  const auto text = manifest({label_line},
                             "{ \"PostgreSQL-Backup-Manifest-Version\": 2,\n"
                             "\"System-Identifier\": 7710581925044542793,\n");
  EXPECT_EQ(read(text).size(), 1u);
}

TEST(ManifestReader, ReadsAManifestWithoutFiles) { EXPECT_TRUE(read(manifest({})).empty()); }

TEST(ManifestReader, ReadsFilesWithoutChecksums) {
  const auto files = read(manifest({file_line(R"("Path": "PG_VERSION", "Size": 3)")}));
  ASSERT_EQ(files.size(), 1u);
  EXPECT_EQ(files[0].checksum_algorithm, "");
  EXPECT_EQ(files[0].checksum, "");
}

TEST(ManifestReader, DecodesPaths) {
  EXPECT_EQ(only_path(file_line(R"("Path": "a \"b\" \\ \u0001", "Size": 1)")), "a \"b\" \\ \x01");
  EXPECT_EQ(only_path(file_line(R"("Path": "bäse", "Size": 1)")), "bäse");
  EXPECT_EQ(only_path(file_line(R"("Encoded-Path": "62617365ff0a", "Size": 1)")), "base\xFF\n");
  EXPECT_EQ(only_path(file_line(R"("Encoded-Path": "", "Size": 1)")), "");
}

TEST(ManifestReader, RefusesEncodedPathsThatAreNotPairsOfHexDigits) {
  for (const char* digits : {"6", "626", "6g", "0x62", "-162", " 662"}) {
    expect_refused(
        manifest({file_line(R"("Encoded-Path": ")" + std::string(digits) + R"(", "Size": 1)")}));
  }
}

TEST(ManifestReader, ReadsSizesOf64BitsAndRefusesEverythingElse) {
  const auto sized = [](const std::string& size) {
    return manifest({file_line(R"("Path": "a", "Size": )" + size)});
  };
  EXPECT_EQ(read(sized("0")).at(0).size, 0u);
  EXPECT_EQ(read(sized("18446744073709551615")).at(0).size, 18446744073709551615u);
  for (const char* size :
       {"-1", "1.5", "18446744073709551616", "1e3", "\"1\"", "true", "null", "[]"}) {
    expect_refused(sized(size));
  }
}

TEST(ManifestReader, RefusesMalformedFileLines) {
  for (const char* line :
       {R"({ "Path": "a", "Size": 1)", R"({ "Path": "a" })", R"({ "Path": 1, "Size": 1 })",
        R"({ "Path": "a", "Size": 1 } x)", R"({ "Path": "a)", "{ \"Path\": \"\xFF\", \"Size\": 1 }",
        R"({ "Path": "a", "Size": 1, "Checksum": "00" })",
        R"({ "Path": "a", "Size": 1, "Checksum-Algorithm": "CRC32C", "Checksum": 7 })"}) {
    expect_refused(manifest({line}));
  }
}

TEST(ManifestReader, RefusesAWrongChecksumOfItsOwn) {
  auto text = manifest({label_line});
  const auto digit = text.size() - 10;
  text[digit] = text[digit] == '0' ? '1' : '0';
  EXPECT_THAT(expect_refused(text).detail(), HasSubstr("checksum"));
}

TEST(ManifestReader, RefusesWhatIsCutShortAtAnyLength) {
  const auto text = manifest({label_line, control_line});
  for_each_truncation(as_bytes(text), [](ByteView cut) { expect_refused(as_text(cut)); });
}

TEST(ManifestReader, RefusesEverySingleBitFlip) {
  const auto text = manifest({label_line});
  for_each_bit_flip(as_bytes(text), [](ByteView damaged, std::size_t bit) {
    SCOPED_TRACE(bit);
    expect_error(ErrorKind::corrupt, [&] { (void)read(as_text(damaged)); });
  });
}

TEST(ManifestReader, RefusesWhatFollowsItsEnd) {
  const auto text = manifest({label_line});
  expect_refused(text + "x");
  expect_refused(text + "\n");
  expect_refused(text + text);
}

TEST(ManifestReader, RefusesWhatIsNoManifest) {
  expect_refused("");
  expect_refused("\n");
  expect_refused(checksum_line(""));
  expect_refused("<html>\n" + checksum_line("<html>\n"));
}

TEST(ManifestReader, RefusesAnEndlessLineBeforeItHasAllOfIt) {
  ManifestReader reader([](const ManifestFile&) {});
  const std::string piece(1000, 'x');
  reader.feed(as_bytes("{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n"));
  expect_error(ErrorKind::corrupt, [&] {
    for (int i = 0; i < 1000; ++i) reader.feed(as_bytes(piece));
  });
}

// The CRC as PostgreSQL's bytes in memory, least significant first.
TEST(ManifestCrc32c, IsWrittenLittleEndian) {
  EXPECT_EQ(manifest_crc32c_text(crc32c(as_bytes("123456789"))), "839206e3");
  EXPECT_EQ(manifest_crc32c_text(0), "00000000");
}

std::string rewrite(std::string_view text, const std::string& path, std::size_t piece = 65536) {
  std::string out;
  ManifestRewriter rewriter(path, 42, 0xE3069283, [&](ByteView bytes) { out += as_text(bytes); });
  feed_in_pieces(rewriter, text, piece);
  rewriter.finish();
  return out;
}

// What the line of tablespace_map becomes.
const std::string map_line_after =
    R"({ "Path": "tablespace_map", "Size": 42, "Last-Modified": "2026-11-21 10:41:01 GMT", )"
    R"("Checksum-Algorithm": "CRC32C", "Checksum": "839206e3" })";

TEST(ManifestRewriter, ChangesOneFileAndTheChecksumAndNothingElse) {
  EXPECT_EQ(rewrite(manifest({label_line, map_line, control_line}), "tablespace_map"),
            manifest({label_line, map_line_after, control_line}));
}

TEST(ManifestRewriter, ChangesTheFirstTheLastAndTheOnlyFile) {
  for (const auto& [before, after] :
       {std::pair{std::vector{map_line, label_line}, std::vector{map_line_after, label_line}},
        std::pair{std::vector{label_line, map_line}, std::vector{label_line, map_line_after}},
        std::pair{std::vector{map_line}, std::vector{map_line_after}}}) {
    EXPECT_EQ(rewrite(manifest(before), "tablespace_map"), manifest(after));
  }
}

TEST(ManifestRewriter, TakesPiecesOfEverySize) {
  const auto before = manifest({label_line, map_line});
  const auto after = manifest({label_line, map_line_after});
  for (std::size_t piece = 1; piece <= before.size(); ++piece) {
    ASSERT_EQ(rewrite(before, "tablespace_map", piece), after) << piece;
  }
}

TEST(ManifestRewriter, WritesWhatTheReaderAccepts) {
  const auto files = read(rewrite(manifest({label_line, map_line}), "tablespace_map"));
  ASSERT_EQ(files.size(), 2u);
  EXPECT_EQ(files[1].size, 42u);
  EXPECT_EQ(files[1].checksum, "839206e3");
}

TEST(ManifestRewriter, PassesAManifestWithoutTheFileThroughUnchanged) {
  const auto text = manifest({label_line, control_line});
  EXPECT_EQ(rewrite(text, "tablespace_map"), text);
}

TEST(ManifestRewriter, KeepsAPathInTheFormItHad) {
  for (const auto& [path, written] : {std::pair{"a \"b\"", R"("Path": "a \"b\"")"},
                                      std::pair{"a\xFF", R"("Encoded-Path": "61ff")"}}) {
    const auto text = rewrite(manifest({file_line(written + std::string(R"(, "Size": 1)"))}), path);
    EXPECT_THAT(text, HasSubstr(written));
    const auto files = read(text);
    ASSERT_EQ(files.size(), 1u);
    EXPECT_EQ(files[0].path, path);
    EXPECT_EQ(files[0].size, 42u);
  }
}

TEST(ManifestRewriter, GivesAChecksumToAFileThatHadNone) {
  const auto text =
      rewrite(manifest({file_line(R"("Path": "tablespace_map", "Size": 1)")}), "tablespace_map");
  EXPECT_EQ(read(text).at(0).checksum_algorithm, "CRC32C");
}

TEST(ManifestRewriter, RefusesAMalformedLineOfItsFile) {
  expect_error(ErrorKind::corrupt, [] {
    (void)rewrite(manifest({R"({ "Path": "tablespace_map", "Size": 1 })"}), "tablespace_map");
  });
  expect_error(ErrorKind::corrupt, [] {
    (void)rewrite(manifest({R"({ "Path": "tablespace_map", "Size": )"}), "tablespace_map");
  });
}

std::string filtered(const std::string& text, const std::set<std::string>& left_out,
                     std::size_t piece) {
  std::string out;
  ManifestFilter filter([&](const std::string& path) { return !left_out.contains(path); },
                        [&](ByteView bytes) { out += as_text(bytes); });
  for (std::size_t at = 0; at < text.size(); at += piece) {
    filter.feed(as_bytes(std::string_view(text).substr(at, piece)));
  }
  filter.finish();
  return out;
}

TEST(ManifestFilter, LeavesOutFilesWhereverTheyStand) {
  const std::vector<std::string> all{label_line, map_line, control_line};
  for (const auto piece : {std::size_t{1}, std::size_t{7}, std::size_t{100'000}}) {
    EXPECT_EQ(filtered(manifest(all), {}, piece), manifest(all));
    EXPECT_EQ(filtered(manifest(all), {"backup_label"}, piece), manifest({map_line, control_line}));
    EXPECT_EQ(filtered(manifest(all), {"tablespace_map"}, piece),
              manifest({label_line, control_line}));
    EXPECT_EQ(filtered(manifest(all), {"global/pg_control"}, piece),
              manifest({label_line, map_line}));
    EXPECT_EQ(filtered(manifest(all), {"backup_label", "global/pg_control"}, piece),
              manifest({map_line}));
  }
}

}  // namespace
}  // namespace walvault
