// Notes that a segment was archived before PostgreSQL offered it, so that its own call
// need not do it again. A note is a hint: it is believed only where everything that it
// says is found to be so (docs/guarantees.md).
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "archiving/push.h"
#include "base/directory.h"
#include "catalog/wal/wal_archive.h"

namespace walvault {

// The process that offers segments one after another: PostgreSQL's archiver, or whatever
// stands in its place. With a restart there is another.
struct Archiver {
  std::int64_t pid = 0;
  std::uint64_t started = 0;  // ticks since the machine started
  std::string boot;           // of that start

  bool operator==(const Archiver&) const = default;
};

// The nearest ancestor that is PostgreSQL's, else the parent. nullopt: that cannot be
// told.
[[nodiscard]] std::optional<Archiver> find_archiver();

// Not thread-safe. None of these throws for what is the matter with the notes.
class Acknowledgements {
 public:
  // Those of the server that runs in the current directory, beside its data directory;
  // nullopt: that is none, or there is no archiver. `place`: what tells the repository
  // from any other, endpoint and all.
  [[nodiscard]] static std::optional<Acknowledgements> of_current_directory(std::string place);

  Acknowledgements(std::string directory, Archiver archiver, std::string place)
      : directory_(std::move(directory)),
        archiver_(std::move(archiver)),
        place_(std::move(place)) {}

  // For a segment that is stored in other places, too, which are not looked at.
  void believe_recent_only(Clock& clock) { recent_by_ = &clock; }

  // Whether there is a directory for notes that can be written to; it is made.
  [[nodiscard]] bool can_be_kept() const;

  // Notes that the segment `result` names was archived.
  void put(const WalArchive& archive, const PushResult& result) const;

  // Whether there is one of this archiver for that repository. Cheap: not whether it is
  // true.
  [[nodiscard]] bool has(const WalArchive& archive, const std::string& name) const;

  // What was noted of the content of a segment; nullopt: there is no note.
  [[nodiscard]] std::optional<Digest> digest_of(const WalArchive& archive,
                                                const std::string& name) const;

  // Whether that segment is archived: the repository was looked at, and whether
  // the file is the one that was. The note is gone behind it.
  [[nodiscard]] std::optional<PushResult> take(const WalArchive& archive,
                                               const OfferedFile& offered) const;

  // The same where the repository is far away: it is not looked at. Believed are notes
  // that are at most `recent` old, of this archiver, for this place and cluster, whose file
  // was not touched since it was read; docs/guarantees.md tells why that is enough.
  [[nodiscard]] std::optional<PushResult> take_recent(const std::string& cluster,
                                                      const OfferedFile& offered,
                                                      Timestamp now) const;
  static constexpr std::chrono::seconds recent{60};

  // Removes the notes of segments before this one, and of other archivers.
  void forget_before(const WalArchive& archive, const std::string& name) const;

  [[nodiscard]] const std::string& directory() const { return directory_; }

 private:
  struct Note;
  [[nodiscard]] std::optional<Note> read(const std::string& name) const;
  [[nodiscard]] std::optional<Note> find(const WalArchive& archive, const std::string& name) const;
  [[nodiscard]] static bool is_of_file(const Note& note, const std::string& path);
  [[nodiscard]] static PushResult result_of(const std::string& name, const Note& note);
  // The directory, while it is this user's own and no link: what others can put there is
  // neither believed nor deleted. nullptr: it is not. `makes`: it is made where it is missing.
  [[nodiscard]] const FileDescriptor* own_directory(bool makes = false) const;
  // Removes what is a note, or was to become one, and nothing else of that name.
  static void remove_note(const FileDescriptor& directory, const std::string& name);

  std::string directory_;
  Archiver archiver_;
  std::string place_;
  Clock* recent_by_ = nullptr;
  mutable FileDescriptor own_directory_;
};

}  // namespace walvault
