// Whether a PostgreSQL server works in a data directory of this machine.
#pragma once

#include <optional>
#include <string>

namespace walvault {

// The process that does, in words: "process 1234 (postgres)"; nullopt: none is found.
//
// A server works where its data directory is: that is what tells it from a process that got
// the number in a postmaster.pid after it died, from one of another container with that
// number, and from a server whose postmaster.pid was copied along. Where it cannot be
// seen where a process works, it counts if it is a postgres of the directory's owner; as
// PostgreSQL has it (CreateLockFile), one of another user is none. Looked for are the process that
// postmaster.pid names, and all that are called postgres. A server on another machine is not seen,
// nor one of a container whose processes are not.
[[nodiscard]] std::optional<std::string> find_server(const std::string& data_directory);

// Error{conflict} that names it.
void expect_stopped(const std::string& data_directory);

}  // namespace walvault
