// Writing a PostgreSQL data directory so that it is either whole and durable
// or cannot be started.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/file.h"

namespace walvault {

// Error{conflict} unless `path` is missing or an empty directory, where a
// restore may write; says so when a server runs there. Error{usage} for a
// relative path.
void expect_vacant(const std::string& path, const std::string& what);

// DIRECTORY/NAME.
[[nodiscard]] std::string joined(const std::string& directory, const std::string& name);

// The names in a directory, ascending; empty for one that is missing.
[[nodiscard]] std::vector<std::string> names_in(const std::string& path);

// The directories that the links in pg_tblspc of a data directory lead to.
[[nodiscard]] std::vector<std::string> tablespaces_in(const std::string& data_directory);

// Whether a directory is a cluster's, as far as its names tell; false where they cannot be seen.
[[nodiscard]] bool is_data_directory(const std::string& path);

// Whether a directory of this name, PG_15_202209061, holds what a tablespace has of a cluster.
[[nodiscard]] bool is_tablespace_version(std::string_view name);

// The current directory, where a server runs its commands; nullopt when that is no data
// directory.
[[nodiscard]] std::optional<std::string> current_data_directory();

// Bytes of the files below a directory; links are not followed.
[[nodiscard]] std::uint64_t bytes_below(const std::string& path);

// Removes the pg_control of a data directory, durably: no server starts there until it
// has another one.
void remove_control_file(const std::string& path);

// Removes everything below a data directory that does not belong there: `belongs` is
// asked about each path, relative, pg_tblspc/OID/PG_... for what lies in tablespaces.
// `tablespaces` (OID, location): those whose links stay, and of which what is of this
// major is looked at. No other link is followed but a pg_wal; lost+found stays.
void remove_what_does_not_belong(
    const std::string& path, int major,
    const std::vector<std::pair<std::uint32_t, std::string>>& tablespaces,
    const std::function<bool(const std::string&)>& belongs);

// Removes what tablespaces that the data directory links to hold of a major, but for
// those that lie at one of `kept`.
void remove_other_tablespaces(const std::string& path, int major,
                              const std::vector<std::string>& kept);

// A pg_wal that is a link becomes a directory of its own; what it led to stays as it is.
void unlink_wal(const std::string& path);

// Empties a data directory, and where a major is given what its tablespaces
// hold of that and of its own major. pg_control goes first and durably, so that
// what an interruption leaves cannot be started. A pg_wal that is a link stays
// one, to a directory that is empty.
void clear_data_directory(const std::string& path, std::optional<int> tablespaces_of_major);

// Free bytes of the file system that `path` is or will be on.
[[nodiscard]] std::uint64_t free_bytes_at(const std::string& path);

// Makes a directory, those above it too.
void make_directory_tree(const std::string& path, mode_t mode);

// What becomes of what stands where a file or directory is to be made.
enum class Existing {
  none,   // there must not be any
  reuse,  // it is used again, content included, where it is of the right kind, else removed
};

// The files below one data directory. Making files and directories belongs to
// one thread; the files made may be opened and written by any.
class DataDirectoryWriter {
 public:
  // Makes the directory if it is missing. `root` is absolute.
  explicit DataDirectoryWriter(std::string root, Existing existing = Existing::none);

  [[nodiscard]] const std::string& root() const { return root_; }
  [[nodiscard]] std::string path_of(const std::string& relative) const;

  void make_directory(const std::string& relative, mode_t mode);
  void set_root_mode(mode_t mode);
  void make_symlink(const std::string& relative, const std::string& target);

  // Makes a file of `size` bytes, zeros and sparse behind the bytes that it returns:
  // those which were there before.
  std::uint64_t make_file(const std::string& relative, std::uint64_t size, mode_t mode);

  // Opens a file made before, for reading and writing parts of it.
  [[nodiscard]] FileDescriptor open_for_writing(const std::string& relative) const;

  // Gives what was made with a mode that would have kept us out that mode.
  // Before the last sync; nothing can be written into it after.
  void apply_modes();

  // A whole small file.
  void write_file(const std::string& relative, ByteView content, mode_t mode);

  // Makes everything written so far durable, on every file system that
  // `directories` (absolute) lie on.
  static void sync_all(const std::vector<std::string>& directories);

 private:
  // Gives `path` its mode; one that lacks what is `needed` of us is noted for apply_modes().
  void set_mode(const std::string& path, mode_t mode, mode_t needed);

  // Removes what is of another kind, or shared with somebody else.
  void make_way(const std::string& path, mode_t kind) const;

  std::string root_;
  Existing existing_;
  std::vector<std::pair<std::string, mode_t>> later_modes_;
};

}  // namespace walvault
