// Directories that are reached without following links, and held: what is then written to
// or deleted by a name in one lies in it, whoever may change the tree meanwhile.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"

namespace walvault {

// A part of a path below `above`, of one part; `shown` names it in errors. nullopt: nothing
// has that name. Error{conflict} for a link, {unavailable} for what is no directory.
[[nodiscard]] std::optional<FileDescriptor> find_directory_at(const FileDescriptor& above,
                                                              const std::string& name,
                                                              const std::string& shown);

// Unlinks a name, whatever it is but a directory; a link itself, not what it leads to.
// False: there is none.
bool unlink_at(const FileDescriptor& directory, const std::string& name, const std::string& shown);

// lstat(2); nullopt when there is nothing.
[[nodiscard]] std::optional<struct stat> find_status_at(const FileDescriptor& directory,
                                                        const std::string& name);

// The names in a directory, without "." and "..", in no order.
[[nodiscard]] std::vector<std::string> names_at(const FileDescriptor& directory,
                                                const std::string& shown);

// A file of a directory, not a link; `flags` as for open(2). nullopt: there is none. Never waits
// for the other end of a pipe. Error{unavailable}.
[[nodiscard]] std::optional<FileDescriptor> find_file_at(const FileDescriptor& directory,
                                                         const std::string& name, int flags);

// Whether a file is this user's, and nobody else has a name for it.
[[nodiscard]] bool is_own_file(const FileDescriptor& file);

// A directory that belongs to this user, and to which nobody else can write; `makes`: made
// if it is missing. `name` may be a path where `above` is AT_FDCWD; its last part is no link.
// nullopt: it is none, or is not this user's. `mends`: one of this user's that a group may write to
// (as a volume of a container gets, whatever is in it) is closed to it.
[[nodiscard]] std::optional<FileDescriptor> find_own_directory(int above, const std::string& name,
                                                               bool makes, bool mends = false);

}  // namespace walvault
