// What is kept beside a data directory about its archiving: who it is that archives, and which
// segment it archived last. Hints, as all notes there are (docs/guarantees.md): without them
// something is not known, and nothing is refused for that.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/directory.h"
#include "codec/sha256.h"

namespace walvault {

// The directory of all notes of a data directory.
[[nodiscard]] std::string notes_directory(const std::string& data_directory);

// A data directory as one that archives: a number, drawn once, and what it was drawn for. A copy
// of the directory lies on another device or has another inode, on another machine.
struct ArchiverNote {
  RandomId id{};
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::string machine;  // /etc/machine-id and the host's name

  bool operator==(const ArchiverNote&) const = default;
};

// What stands beside a data directory, whoever may own that, if this user can trust it; nullopt:
// nothing does.
[[nodiscard]] std::optional<ArchiverNote> find_archiver_note(const std::string& data_directory);

// Whether a note was drawn on this machine; and for this very directory.
[[nodiscard]] bool is_of_this_machine(const ArchiverNote& note);
[[nodiscard]] bool is_of_directory(const ArchiverNote& note, const std::string& data_directory);

// The id of a data directory; nullopt: not known.
[[nodiscard]] std::optional<RandomId> find_archiver_id(const std::string& data_directory);

// Draws one for a directory that is to archive, where there is none; nullopt: it cannot be kept.
std::optional<RandomId> draw_archiver_id(const std::string& data_directory, Randomness& randomness);

struct LastArchived {
  std::string place;  // of the repository, as Config::place gives it
  std::string key;    // of the segment there
  Digest digest;      // of the segment's file

  bool operator==(const LastArchived&) const = default;
};

// What the server of a data directory archived last; nullopt: not known.
[[nodiscard]] std::optional<LastArchived> find_last_archived(const std::string& data_directory);

// Of the server that archives. Not thread-safe; nothing throws for what is the matter with notes.
class ServerNotes {
 public:
  explicit ServerNotes(std::string data_directory) : data_directory_(std::move(data_directory)) {}

  // Of the server that runs in the current directory; nullopt: that is no data directory.
  [[nodiscard]] static std::optional<ServerNotes> of_current_directory();

  // Its id; drawn where there is none of this directory. nullopt: it cannot be kept.
  [[nodiscard]] std::optional<RandomId> archiver(Randomness& randomness) const;

  // REQUIRES for a note to be kept, or found: archiver() has given an id.
  void put_last(const LastArchived& last) const;
  [[nodiscard]] std::optional<LastArchived> last() const;

 private:
  [[nodiscard]] const FileDescriptor* directory() const;

  std::string data_directory_;
  mutable FileDescriptor directory_;
  mutable std::optional<RandomId> archiver_;
};

}  // namespace walvault
