#include "postgres/backup_manifest.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace walvault {
namespace {

using nlohmann::json;

// A path has at most 1024 bytes (MAXPGPATH), encoded at most 2048 digits.
constexpr std::size_t line_bytes_max = 16384;
constexpr std::string_view checksum_key = "\"Manifest-Checksum\": \"";

Error damaged(std::string detail) {
  return {ErrorKind::corrupt, "the server's backup_manifest is damaged", std::move(detail)};
}

// Cuts what arrives into lines with their line break and hands each to `take`.
template <typename Take>
void split_into_lines(std::string& pending, ByteView bytes, Take&& take) {
  auto text = as_text(bytes);
  while (!text.empty()) {
    const auto end = text.find('\n');
    const auto part = text.substr(0, end == std::string_view::npos ? text.size() : end + 1);
    pending += part;
    if (pending.size() > line_bytes_max) throw damaged("A line is too long.");
    text.remove_prefix(part.size());
    if (end != std::string_view::npos) {
      take(std::string_view(pending));
      pending.clear();
    }
  }
}

std::string decode_hex(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
    const auto byte = parse_hex(std::string_view(text).substr(i, 2));
    if (!byte) throw damaged("An encoded path is malformed.");
    out.push_back(static_cast<char>(*byte));
  }
  return out;
}

bool is_file_line(std::string_view line) {
  return line.starts_with("{ \"Path\"") || line.starts_with("{ \"Encoded-Path\"");
}

ManifestFile parse_file_line(std::string_view line) {
  while (line.ends_with('\n') || line.ends_with(',')) line.remove_suffix(1);
  const auto object = json::parse(line, nullptr, false);
  try {
    ManifestFile file;
    file.path = object.contains("Path") ? object.at("Path").get<std::string>()
                                        : decode_hex(object.at("Encoded-Path").get<std::string>());
    file.size = object.at("Size").get<std::uint64_t>();
    if (object.contains("Checksum")) {
      file.checksum_algorithm = object.at("Checksum-Algorithm").get<std::string>();
      file.checksum = object.at("Checksum").get<std::string>();
    }
    return file;
  } catch (const json::exception&) {
    throw damaged("A line is malformed: \"" + std::string(line.substr(0, 200)) + "\".");
  }
}

}  // namespace

std::string manifest_crc32c_text(std::uint32_t crc) {
  ByteWriter writer;
  writer.u32(crc);
  return to_hex(writer.bytes());
}

void ManifestReader::feed(ByteView bytes) {
  split_into_lines(line_, bytes, [this](std::string_view line) { take_line(line); });
}

void ManifestReader::take_line(std::string_view line) {
  if (ended_) throw damaged("Something follows its end.");
  if (!started_) {
    if (!line.starts_with("{ \"PostgreSQL-Backup-Manifest-Version\": ")) {
      throw damaged("It does not start as a manifest does.");
    }
    started_ = true;
  }
  if (line.starts_with(checksum_key)) {
    const auto stored = line.substr(checksum_key.size(), 64);
    if (stored != digest_.finish().hex()) throw damaged("Its own checksum does not fit.");
    ended_ = true;
    return;
  }
  digest_.update(as_bytes(line));
  if (is_file_line(line)) file_(parse_file_line(line));
}

void ManifestReader::finish() {
  if (!line_.empty()) take_line(line_);
  line_.clear();
  if (!ended_) throw damaged("It ends without its checksum.");
}

ManifestRewriter::ManifestRewriter(std::string path, std::uint64_t size, std::uint32_t crc,
                                   std::function<void(ByteView)> out)
    : path_(std::move(path)), size_(size), crc_(crc), out_(std::move(out)) {}

void ManifestRewriter::feed(ByteView bytes) {
  split_into_lines(line_, bytes, [this](std::string_view line) { take_line(line); });
}

void ManifestRewriter::take_line(std::string_view line) {
  std::string changed;
  if (line.starts_with(checksum_key)) {
    changed = std::string(checksum_key) + digest_.finish().hex() + "\"}\n";
    out_(as_bytes(changed));
    return;
  }
  if (is_file_line(line) && parse_file_line(line).path == path_) {
    const bool more_follow = line.ends_with(",\n");
    const auto object = json::parse(line.substr(0, line.find_last_of('}') + 1));
    changed = "{ \"Path\": \"" + path_ + "\", \"Size\": " + std::to_string(size_) +
              ", \"Last-Modified\": \"" + object.at("Last-Modified").get<std::string>() +
              "\", \"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"" +
              manifest_crc32c_text(crc_) + "\" }" + (more_follow ? ",\n" : "\n");
    line = changed;
  }
  digest_.update(as_bytes(line));
  out_(as_bytes(line));
}

void ManifestRewriter::finish() {
  if (!line_.empty()) take_line(line_);
  line_.clear();
}

}  // namespace walvault
