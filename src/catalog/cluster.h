// The database clusters that a repository knows, by name: who may write under
// a name, and how its WAL is cut.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "repository/repository.h"

namespace walvault {

// One identity of a cluster. A name gets a further one, with the next number,
// when pg_upgrade has given the cluster a new system identifier.
struct ClusterIdentity {
  std::string name;
  std::uint32_t number = 1;
  std::uint64_t system_identifier = 0;
  int postgres_major = 0;
  std::uint32_t segment_bytes = 0;
  Timestamp registered;
};

// Error{usage} unless the name matches [a-z0-9][a-z0-9_-]{0,62}.
void check_cluster_name(const std::string& name);

// The newest identity of a name; nullopt when it is not registered.
[[nodiscard]] std::optional<ClusterIdentity> find_cluster(const Repository& repository,
                                                          const std::string& name);

// An Error that names the registered ones when there is no such name:
// {not_found} for who asks, {conflict} for who wants to write under it.
[[nodiscard]] ClusterIdentity get_cluster(const Repository& repository, const std::string& name,
                                          ErrorKind when_unknown = ErrorKind::not_found);

[[nodiscard]] std::vector<ClusterIdentity> list_clusters(const Repository& repository);

// Registers a first identity. Error{conflict} when the name is taken, unless by
// the very same cluster: then false.
bool add_cluster(const Repository& repository, const ClusterIdentity& identity);

}  // namespace walvault
