// The backup_manifest that a server sends (PostgreSQL documentation, "Backup
// Manifest Format"; backup/backup_manifest.c writes one file a line, which is
// what lets a manifest of a million files be read in bounded memory).
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/bytes.h"
#include "codec/sha256.h"
#include "postgres/lsn.h"

namespace walvault {

struct ManifestFile {
  std::string path;  // raw bytes, relative to the data directory
  std::uint64_t size = 0;
  std::string checksum_algorithm;  // "CRC32C", "SHA256", ...; empty for none
  std::string checksum;            // hexadecimal
};

// The hexadecimal form that a manifest gives a CRC-32C in.
[[nodiscard]] std::string manifest_crc32c_text(std::uint32_t crc);

// Reads a manifest in pieces of any size; calls back for each file. At the end
// the manifest's own checksum has been verified. Error{corrupt} for anything
// that is not the form PostgreSQL writes.
class ManifestReader {
 public:
  explicit ManifestReader(std::function<void(const ManifestFile&)> file) : file_(std::move(file)) {}

  void feed(ByteView bytes);
  void finish();

 private:
  void take_line(std::string_view line);

  std::function<void(const ManifestFile&)> file_;
  std::string line_;
  Sha256 digest_;  // of all lines before the checksum's
  bool started_ = false;
  bool ended_ = false;
};

// Passes a manifest through without the files that `is_kept` does not hold for, and gives
// the whole a checksum that fits. Error{corrupt} for a line that is too long or malformed.
class ManifestFilter {
 public:
  ManifestFilter(std::function<bool(const std::string& path)> is_kept,
                 std::function<void(ByteView)> out);

  void feed(ByteView bytes);
  void finish();

 private:
  void take_line(std::string_view line);
  void write(std::string_view text);

  std::function<bool(const std::string& path)> is_kept_;
  std::function<void(ByteView)> out_;
  std::string line_;
  std::string file_;  // a line that waits for what is to stand behind it; empty: none
  Sha256 digest_;
};

// Passes a manifest through and gives one file of it another size and CRC-32C,
// and the whole a checksum that fits; everything else stays as it is.
class ManifestRewriter {
 public:
  ManifestRewriter(std::string path, std::uint64_t size, std::uint32_t crc,
                   std::function<void(ByteView)> out);

  void feed(ByteView bytes);
  void finish();

 private:
  void take_line(std::string_view line);

  std::string path_;
  std::uint64_t size_;
  std::uint32_t crc_;
  std::function<void(ByteView)> out_;
  std::string line_;
  Sha256 digest_;
};

}  // namespace walvault
