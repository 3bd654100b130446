// That what walvault writes to and deletes from shares no directory with what must survive
// that. Judged here, for every command, before anything is touched; nothing overrides it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "app/config.h"

namespace walvault {

struct NamedPlace {
  std::string what;  // "the data directory"
  std::string path;  // absolute
  // The command does its work without it, so it is not waited for.
  bool may_be_away = false;
};

// The directories of the repository in use and of all of the file's; those in object stores
// have none. Error{usage} for a URL that is wrong.
[[nodiscard]] std::vector<NamedPlace> repository_places(const Config& config);

// A data directory, what PostgreSQL and walvault keep beside it, and where its links
// lead: pg_wal and tablespaces.
[[nodiscard]] std::vector<NamedPlace> server_places(const std::string& data_directory);

// Error{conflict} where a repository is one of the others, lies in one or holds one. Of what may
// be away, what does not answer for some seconds is passed over with a warning: a restore
// out of one repository needs nothing of another one, nor of a disk that died.
void expect_repositories_apart(const Config& config, const std::vector<NamedPlace>& others);

// Error{conflict} where a repository lies in a PostgreSQL directory, or one of the file is
// another one or lies in one. Before a repository is opened for what writes to it.
void expect_repositories_sound(const Config& config);

// As expect_repositories_apart for the server of a connection, whose data directory (as it says;
// nullopt: it does not) is compared where a data directory of that name is on this machine.
void expect_server_apart(const Config& config, const std::optional<std::string>& data_directory);

}  // namespace walvault
