#include "postgres/tar_reader.h"

#include <algorithm>

#include "base/error.h"
#include "base/path.h"

namespace walvault {
namespace {

Error damaged(std::string detail) {
  return {ErrorKind::corrupt, "the base backup's tar stream is damaged", std::move(detail)};
}

// Offsets and widths of POSIX.1-1988 ustar header fields.
struct Field {
  std::size_t offset;
  std::size_t width;
};
constexpr Field name_field{0, 100};
constexpr Field mode_field{100, 8};
constexpr Field size_field{124, 12};
constexpr Field mtime_field{136, 12};
constexpr Field checksum_field{148, 8};
constexpr Field type_field{156, 1};
constexpr Field link_field{157, 100};
constexpr Field magic_field{257, 5};
constexpr Field prefix_field{345, 155};

ByteView bytes_of(ByteView header, Field field) {
  return header.subspan(field.offset, field.width);
}

std::string text_of(ByteView header, Field field) {
  const auto text = as_text(bytes_of(header, field));
  return std::string(text.substr(0, text.find('\0')));
}

// No file system holds a larger one.
constexpr std::uint64_t file_bytes_max = std::uint64_t{1} << 50;

// Octal digits, or base 256 when the first byte's high bit is set.
std::uint64_t number_of(ByteView header, Field field) {
  const auto bytes = bytes_of(header, field);
  std::uint64_t value = 0;
  if ((bytes[0] & 0x80) != 0) {
    // PostgreSQL writes all 64 bits, so a time before 1970 is a large number.
    for (std::size_t i = 1; i < bytes.size(); ++i) {
      if (bytes[0] != 0x80 || value >> 56 != 0) {
        throw damaged("A number in a header is too large.");
      }
      value = value << 8 | bytes[i];
    }
    return value;
  }
  bool any = false;
  for (const auto byte : bytes) {
    if (byte == ' ' || byte == 0) {
      if (any) break;
      continue;
    }
    if (byte < '0' || byte > '7') throw damaged("A number in a header is malformed.");
    value = value << 3 | (byte - '0');
    any = true;
  }
  return value;
}

void check_checksum(ByteView header) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < header.size(); ++i) {
    const bool own = i >= checksum_field.offset && i < checksum_field.offset + checksum_field.width;
    sum += own ? std::uint64_t{' '} : header[i];
  }
  if (sum != number_of(header, checksum_field)) throw damaged("A header's checksum is wrong.");
}

std::string clean_path(std::string path) {
  while (path.starts_with("./")) path.erase(0, 2);
  if (path.starts_with('/')) throw damaged("It holds the absolute path \"" + path + "\".");
  while (path.ends_with('/')) path.pop_back();
  if (path == ".") path.clear();
  if (!path.empty() && !is_inner_path(path)) throw damaged("It holds the path \"" + path + "\".");
  return path;
}

}  // namespace

void TarReader::feed(ByteView bytes) {
  while (!bytes.empty()) {
    if (content_left_ > 0) {
      const auto part = bytes.first(std::min<std::uint64_t>(bytes.size(), content_left_));
      events_.data(part);
      content_left_ -= part.size();
      bytes = bytes.subspan(part.size());
    } else if (padding_left_ > 0) {
      const auto skip = std::min(bytes.size(), padding_left_);
      padding_left_ -= skip;
      bytes = bytes.subspan(skip);
    } else {
      const auto part = bytes.first(std::min(bytes.size(), block_bytes - header_filled_));
      std::ranges::copy(part, header_.begin() + static_cast<std::ptrdiff_t>(header_filled_));
      header_filled_ += part.size();
      bytes = bytes.subspan(part.size());
      if (header_filled_ == block_bytes) take_header();
    }
    if (in_entry_ && content_left_ == 0) {
      in_entry_ = false;
      events_.end();
    }
  }
}

void TarReader::take_header() {
  header_filled_ = 0;
  const ByteView header = header_;
  if (is_all_zero(header)) {
    ended_ = true;
    return;
  }
  if (ended_) throw damaged("Something follows its end.");
  check_checksum(header);
  if (as_text(bytes_of(header, magic_field)) != "ustar") throw damaged("It is not in ustar form.");

  TarEntry entry;
  const auto prefix = text_of(header, prefix_field);
  entry.path = clean_path((prefix.empty() ? "" : prefix + "/") + text_of(header, name_field));
  entry.mode = static_cast<std::uint32_t>(number_of(header, mode_field) & 07777);
  entry.mtime = static_cast<std::int64_t>(number_of(header, mtime_field));
  switch (bytes_of(header, type_field)[0]) {
    case '0':
    case 0: entry.kind = TarEntryKind::file; break;
    case '5': entry.kind = TarEntryKind::directory; break;
    case '2':
      entry.kind = TarEntryKind::symlink;
      entry.link_target = text_of(header, link_field);
      break;
    default: throw damaged("\"" + entry.path + "\" is neither file, directory nor link.");
  }
  if (entry.kind == TarEntryKind::file) {
    entry.size = number_of(header, size_field);
    if (entry.size > file_bytes_max) throw damaged("\"" + entry.path + "\" is impossibly large.");
    if (entry.path.empty()) throw damaged("A file has no name.");
  }
  content_left_ = entry.size;
  padding_left_ = static_cast<std::size_t>((block_bytes - entry.size % block_bytes) % block_bytes);
  in_entry_ = true;
  events_.begin(entry);
}

void TarReader::finish() {
  if (content_left_ > 0 || header_filled_ > 0 || padding_left_ > 0) {
    throw damaged("It ends in the middle of a file.");
  }
}

}  // namespace walvault
