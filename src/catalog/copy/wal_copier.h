// Brings archived WAL of one identity to another repository, object for object, each
// checked on its way. What is there already is not brought again.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "catalog/wal/wal_archive.h"

namespace walvault {

struct WalCopied {
  std::uint64_t files = 0;  // that were brought, or would be
  std::uint64_t bytes = 0;  // stored
  std::uint64_t there = 0;  // files that were there before
  // Objects that were not brought, because they are damaged or the destination has other
  // content under their names. No more than copied_damage_max of them are described.
  struct Fault {
    std::string key;
    std::string why;
  };
  std::uint64_t fault_count = 0;
  std::vector<Fault> faults;
};

inline constexpr std::size_t copied_damage_max = 100;

struct WalCopyOptions {
  unsigned jobs = 2;  // objects on their way at once, each in memory
  bool dry_run = false;
};

// Not thread-safe.
class WalCopier {
 public:
  // `to`: the same identity there. `reading` is told of stored bytes before they are
  // read, from any thread, and may throw.
  WalCopier(const WalArchive& from, const WalArchive& to, WalCopyOptions options,
            std::function<void(std::uint64_t bytes)> reading);

  // All timelines' history files.
  void bring_histories();

  // Nothing of a branch of which the destination was found to have other content, or WAL that
  // contradicts it (catalog/copy/wal_border.h); else all of it under the numbers from `first` to
  // before `behind`. Returns how many segments of these the destination has then: whole ones, but
  // of the last a part will do, in which a backup of a standby ends.
  std::uint64_t bring(TimelineBranch branch, std::uint64_t first, std::uint64_t behind);

  [[nodiscard]] const WalCopied& copied() const { return copied_; }

 private:
  struct File {
    std::string key;
    std::uint64_t size = 0;
    bool brought = false;
    std::string fault = {};
  };
  [[nodiscard]] std::string directory_of(TimelineBranch branch) const;
  void bring_files(std::vector<File> files, const std::function<void(const File&)>& brought);
  void bring_file(File& file) const;
  [[nodiscard]] bool is_same(const File& file, std::uint64_t size_there) const;
  [[nodiscard]] bool has_same_content(const std::string& key) const;
  // Whether what the destination lacks of a log belongs beside what it has; if not, it is noted.
  [[nodiscard]] bool belongs_there(TimelineBranch branch, const std::vector<File>& lacking);
  void note(const File& file);
  void settle(const std::vector<std::string>& keys);

  const WalArchive from_;
  const WalArchive to_;
  const WalCopyOptions options_;
  const std::function<void(std::uint64_t)> reading_;
  WalCopied copied_;
  // Of which the destination has another history, or other content: nothing more of this
  // one is mixed into it.
  std::set<TimelineBranch> foreign_;
};

}  // namespace walvault
