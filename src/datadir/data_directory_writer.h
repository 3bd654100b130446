// Writing a PostgreSQL data directory so that it is either whole and durable
// or cannot be started.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/file.h"
#include "datadir/held_directory.h"

namespace walvault {

// What becomes of what stands where a file or directory is to be made.
enum class Existing {
  none,   // there must not be any
  reuse,  // it is used again, content included, where it is of the right kind, else removed
};

// The files below one data directory. Making files and directories belongs to
// one thread; the files made may be opened and written by any.
class DataDirectoryWriter {
 public:
  // Makes the directory if it is missing. `root` is absolute. What is made belongs to `owner`,
  // where one is given.
  explicit DataDirectoryWriter(std::string root, Existing existing = Existing::none,
                               std::optional<FileOwner> owner = {});

  // What lies below `link`, relative, is written to that directory: where a link of that name
  // leads at that moment does not matter.
  void redirect(std::string link, std::string directory);

  [[nodiscard]] const std::string& root() const { return root_; }
  [[nodiscard]] std::string path_of(const std::string& relative) const;

  void make_directory(const std::string& relative, mode_t mode);
  // Those that a file lies in, where the backup does not name them.
  void make_parents(const std::string& relative) const;
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
  // In place of what has the name, at once; durable.
  void replace_file(const std::string& relative, ByteView content, mode_t mode) const;

 private:
  // Gives `path` its mode; one that lacks what is `needed` of us is noted for apply_modes().
  void set_mode(const std::string& path, mode_t mode, mode_t needed);

  // Removes what is of another kind, or shared with somebody else.
  void make_way(const std::string& path, mode_t kind) const;

  std::string root_;
  Existing existing_;
  std::optional<FileOwner> owner_;
  std::vector<std::pair<std::string, std::string>> redirections_;  // "pg_tblspc/1/", directory
  std::vector<std::pair<std::string, mode_t>> later_modes_;
};

// Makes everything durable that was written to the file systems of these since they were held.
// Error{unavailable}, also where one of them is not in place any more.
void sync_all(const std::vector<const HeldDirectory*>& directories);

}  // namespace walvault
