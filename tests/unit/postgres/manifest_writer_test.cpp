#include "postgres/manifest_writer.h"

#include <gtest/gtest.h>

#include "postgres/backup_manifest.h"

namespace walvault {
namespace {

std::string written(int major, const std::vector<std::string>& paths) {
  std::string text;
  ManifestWriter writer(major, 7'001'002'003'004'005'006,
                        [&](ByteView bytes) { text += as_text(bytes); });
  for (const auto& path : paths) writer.add(path, 10, 1'790'000'000, 0x01020304);
  writer.finish({3}, {0x1'0200'0028}, {0x1'0200'0100});
  return text;
}

TEST(ManifestWriter, WritesWhatAServerWrites) {
  const auto text = written(16, {"PG_VERSION", "a \"b\"\\"});
  const auto end = text.rfind("\"Manifest-Checksum\"");
  EXPECT_EQ(text.substr(0, end),
            "{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n\"Files\": [\n"
            "{ \"Path\": \"PG_VERSION\", \"Size\": 10, \"Last-Modified\": \"2026-09-21 14:13:20 "
            "GMT\", \"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"04030201\" },\n"
            "{ \"Path\": \"a \\\"b\\\"\\\\\", \"Size\": 10, \"Last-Modified\": \"2026-09-21 "
            "14:13:20 GMT\", \"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"04030201\" }\n],\n"
            "\"WAL-Ranges\": [\n{ \"Timeline\": 3, \"Start-LSN\": \"1/2000028\", \"End-LSN\": "
            "\"1/2000100\" }\n],\n");
  EXPECT_EQ(text.substr(end),
            "\"Manifest-Checksum\": \"" + sha256(as_bytes(text.substr(0, end))).hex() + "\"}\n");
}

TEST(ManifestWriter, NamesTheSystemFrom17On) {
  EXPECT_TRUE(
      written(17, {}).starts_with("{ \"PostgreSQL-Backup-Manifest-Version\": 2,\n"
                                  "\"System-Identifier\": 7001002003004005006,\n"
                                  "\"Files\": [\n],\n"));
}

TEST(ManifestWriter, IsReadBackPathsThatAreNoTextToo) {
  const std::vector<std::string> paths = {"base/5/1259", "with\nbreak", "\xff\xfe", "\xc3\xa4"};
  for (const int major : {13, 18}) {
    std::vector<std::string> read;
    ManifestReader reader([&](const ManifestFile& file) {
      read.push_back(file.path);
      EXPECT_EQ(file.size, 10u);
      EXPECT_EQ(file.checksum, manifest_crc32c_text(0x01020304));
    });
    reader.feed(as_bytes(written(major, paths)));
    reader.finish();
    EXPECT_EQ(read, paths);
  }
}

}  // namespace
}  // namespace walvault
