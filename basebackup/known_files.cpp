#include "basebackup/known_files.h"

#include <algorithm>
#include <chrono>

#include "base/error.h"
#include "catalog/records/backup_parts.h"
#include "codec/sha256.h"

namespace walvault {
namespace {

// The coarsest clock of a file system in use, that of FAT.
constexpr std::chrono::seconds clock_grain{2};

}  // namespace

Fingerprint fingerprint_of(const std::string& path, const FileAttributes& attributes) {
  ByteWriter out;
  out.u64(attributes.device);
  out.u64(attributes.inode);
  out.u64(attributes.size);
  out.u64(static_cast<std::uint64_t>(attributes.modified));
  out.u64(static_cast<std::uint64_t>(attributes.changed));
  out.raw(as_bytes(path));
  const auto digest = sha256(out.bytes());
  Fingerprint fingerprint;
  std::copy_n(digest.bytes.begin(), fingerprint.size(), fingerprint.begin());
  return fingerprint;
}

bool would_show_writes(const FileAttributes& attributes, Timestamp backup_began) {
  using std::chrono::nanoseconds;
  const auto latest = nanoseconds(std::max(attributes.modified, attributes.changed));
  return nanoseconds(backup_began.time_since_epoch()) - latest >= clock_grain;
}

KnownFiles::KnownFiles(const Repository& repository, const Root& root) {
  const auto has_stream = std::ranges::any_of(
      root.streams, [](const Stream& stream) { return stream.name == attributes_stream; });
  if (!has_stream) return;
  Fingerprint next;
  std::size_t filled = 0;
  TreeReader(repository, root).read_stream(attributes_stream, [&](ByteView bytes) {
    for (const auto byte : bytes) {
      next.at(filled++) = byte;
      if (filled < next.size()) continue;
      fingerprints_.push_back(next);
      filled = 0;
    }
  });
  if (filled != 0) {
    throw Error(ErrorKind::corrupt, "what a backup knows of its files' attributes is cut short");
  }
  std::ranges::sort(fingerprints_);
}

bool KnownFiles::contains(const Fingerprint& fingerprint) const {
  return std::ranges::binary_search(fingerprints_, fingerprint);
}

}  // namespace walvault
