#include "postgres/manifest_writer.h"

#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "postgres/backup_manifest.h"

namespace walvault {
namespace {

constexpr int version_2_since_major = 17;

// 2026-11-21T10:41:00.000000Z becomes 2026-11-21 10:41:00 GMT.
std::string gmt_text(std::int64_t seconds) {
  auto text = to_rfc3339(Timestamp(std::chrono::seconds(seconds)));
  text.resize(text.find('.'));
  text.replace(text.find('T'), 1, " ");
  return text + " GMT";
}

// A path need not be UTF-8; JSON has to be.
std::string path_text(const std::string& path) {
  try {
    return "\"Path\": " + nlohmann::json(path).dump();
  } catch (const nlohmann::json::type_error&) {
    return "\"Encoded-Path\": \"" + to_hex(as_bytes(path)) + "\"";
  }
}

}  // namespace

ManifestWriter::ManifestWriter(int major, std::uint64_t system_identifier,
                               std::function<void(ByteView)> out)
    : out_(std::move(out)) {
  if (major >= version_2_since_major) {
    write("{ \"PostgreSQL-Backup-Manifest-Version\": 2,\n\"System-Identifier\": " +
          std::to_string(system_identifier) + ",\n\"Files\": [");
  } else {
    write("{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n\"Files\": [");
  }
}

void ManifestWriter::write(const std::string& text) {
  digest_.update(as_bytes(text));
  out_(as_bytes(text));
}

void ManifestWriter::add(const std::string& path, std::uint64_t size, std::int64_t modified,
                         std::uint32_t crc) {
  write((is_first_ ? "\n{ " : ",\n{ ") + path_text(path) + ", \"Size\": " + std::to_string(size) +
        ", \"Last-Modified\": \"" + gmt_text(modified) +
        "\", \"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"" + manifest_crc32c_text(crc) +
        "\" }");
  is_first_ = false;
}

void ManifestWriter::finish(TimelineId timeline, Lsn start, Lsn end) {
  write("\n],\n\"WAL-Ranges\": [\n{ \"Timeline\": " + std::to_string(timeline.value) +
        ", \"Start-LSN\": \"" + start.text() + "\", \"End-LSN\": \"" + end.text() + "\" }\n],\n");
  // Its own checksum does not cover itself.
  const auto last = "\"Manifest-Checksum\": \"" + digest_.finish().hex() + "\"}\n";
  out_(as_bytes(last));
}

}  // namespace walvault
