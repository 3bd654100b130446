// Puts one file that PostgreSQL offers for archiving into the repository.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "archiving/offered_file.h"
#include "base/clock.h"
#include "base/file.h"
#include "catalog/wal/stored_summary.h"
#include "catalog/wal/wal_archive.h"
#include "codec/compression.h"

namespace walvault {

struct PushOptions {
  CompressionSetting compression;
  unsigned threads = 2;
  // Does what it is given in every other archive of the same cluster that wants the file too:
  // behind each file that is stored, to store it there. What it throws, the push throws.
  // False: in some place it was not done. From any thread.
  using DoIn = std::function<void(const WalArchive& other)>;
  std::function<bool(const DoIn&)> elsewhere = {};
  // Of WAL: what is noted of where it comes from.
  WalOrigin origin = {};
};

struct PushResult {
  // Under which it is archived: that of a .partial for a standby's segment that was not filled.
  std::string name;
  bool already_there = false;  // with the same content
  std::uint64_t plain_bytes = 0;
  std::uint64_t stored_bytes = 0;
  // Of the whole file; of a segment nullopt where it does not tell (file_digest_tells).
  std::optional<Digest> digest = {};
  std::string key;  // in the first archive
  // The file before it was read; nullopt: it did not come as one.
  std::optional<FileAttributes> file = {};
  // Where and why its WAL breaks off; empty: it does not. Such a segment is
  // stored all the same, because to lose it were worse.
  std::string damage;
  // It is in all places where it should be.
  bool everywhere = true;
};

// Archives a segment, .history, .backup or .partial file. When it
// returns, the file's content survives power loss in the repository.
//
// Nothing is stored when it throws: Error{usage} for a name that is none of a
// WAL file; {not_found} when there is no such file; {corrupt} for a wrong
// size, a damaged first page or the WAL of another position; {conflict} for a
// segment of another cluster, major or segment size, and for a name that is
// archived with other content already.
[[nodiscard]] PushResult push_wal_file(const WalArchive& archive, const OfferedFile& offered,
                                       Clock& clock, const PushOptions& options);

// The two halves of that, for segments that are compressed at the same time and stored in
// order: reading, checking and compressing, which changes nothing, and storing.
class PreparedFile {
 public:
  PreparedFile(const WalArchive& archive, const OfferedFile& offered, Clock& clock,
               const PushOptions& options);
  ~PreparedFile();
  PreparedFile(PreparedFile&&) noexcept;
  PreparedFile& operator=(PreparedFile&&) noexcept;

  // `before`: the digest of the segment before, known by now.
  [[nodiscard]] PushResult store(const WalArchive& archive, const std::optional<Digest>& before);
  // For the one behind it; nullopt: it does not tell.
  [[nodiscard]] std::optional<Digest> digest() const;

 private:
  struct Content;
  std::unique_ptr<Content> content_;
};

// The same for the file of a segment that was not filled, which is kept as a
// .partial of its name.
[[nodiscard]] PushResult push_partial_segment(const WalArchive& archive, const OfferedFile& offered,
                                              Clock& clock, const PushOptions& options);

// The same for a whole segment that did not come as a file.
[[nodiscard]] PushResult push_wal_segment(const WalArchive& archive, SegmentName segment,
                                          ByteView content, Clock& clock,
                                          const PushOptions& options);

// The same for what has come of a segment that was not filled: a .partial of its name.
[[nodiscard]] PushResult push_unfinished_segment(const WalArchive& archive, SegmentName segment,
                                                 ByteView content, Clock& clock,
                                                 const PushOptions& options);

// The same for a timeline's history file that did not come as a file.
[[nodiscard]] PushResult push_timeline_history(const WalArchive& archive, TimelineId timeline,
                                               ByteView content, Clock& clock,
                                               const PushOptions& options);

}  // namespace walvault
