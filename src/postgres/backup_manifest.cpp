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
  const auto bytes = from_hex(text);
  if (!bytes) throw damaged("An encoded path is malformed.");
  return std::string(as_text(*bytes));
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
    // get<> alone would turn a negative number or a fraction into another one.
    const auto& size = object.at("Size");
    if (!size.is_number_unsigned()) throw damaged("The size of \"" + file.path + "\" is none.");
    file.size = size.get<std::uint64_t>();
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
    line.remove_prefix(checksum_key.size());
    if (line != digest_.finish().hex() + "\"}\n") throw damaged("Its own checksum does not fit.");
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
    // Quotes within a path are escaped, so these begin nowhere else.
    const auto size_begin = line.find(", \"Size\": ");
    const auto time_begin = line.find(", \"Last-Modified\": \"");
    const auto time_end = line.find_first_of(",}", time_begin + 2);
    if (size_begin == std::string_view::npos || time_begin == std::string_view::npos ||
        time_end == std::string_view::npos) {
      throw damaged("A line is malformed: \"" + std::string(line.substr(0, 200)) + "\".");
    }
    auto time = line.substr(time_begin, time_end - time_begin);
    while (time.ends_with(' ')) time.remove_suffix(1);
    changed = std::string(line.substr(0, size_begin)) + ", \"Size\": " + std::to_string(size_) +
              std::string(time) + ", \"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"" +
              manifest_crc32c_text(crc_) + "\" }" + (line.ends_with(",\n") ? ",\n" : "\n");
    line = changed;
  }
  digest_.update(as_bytes(line));
  out_(as_bytes(line));
}

void ManifestRewriter::finish() {
  if (!line_.empty()) take_line(line_);
  line_.clear();
}

ManifestFilter::ManifestFilter(std::function<bool(const std::string& path)> is_kept,
                               std::function<void(ByteView)> out)
    : is_kept_(std::move(is_kept)), out_(std::move(out)) {}

void ManifestFilter::feed(ByteView bytes) {
  split_into_lines(line_, bytes, [this](std::string_view line) { take_line(line); });
}

void ManifestFilter::write(std::string_view text) {
  digest_.update(as_bytes(text));
  out_(as_bytes(text));
}

void ManifestFilter::take_line(std::string_view line) {
  if (line.starts_with(checksum_key)) {
    const auto last = std::string(checksum_key) + digest_.finish().hex() + "\"}\n";
    out_(as_bytes(last));
    return;
  }
  if (!is_file_line(line)) {
    // What stands behind the last file is no comma.
    if (!file_.empty()) write(file_ + "\n");
    file_.clear();
    write(line);
    return;
  }
  if (!is_kept_(parse_file_line(line).path)) return;
  if (!file_.empty()) write(file_ + ",\n");
  while (line.ends_with('\n') || line.ends_with(',')) line.remove_suffix(1);
  file_ = line;
}

void ManifestFilter::finish() {
  if (!line_.empty()) take_line(line_);
  line_.clear();
}

}  // namespace walvault
