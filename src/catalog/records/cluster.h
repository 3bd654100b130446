// The database clusters that a repository knows, by name: who may write under
// a name, and how its WAL is cut.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "postgres/segment_name.h"
#include "repository/object_table.h"
#include "repository/repository.h"

namespace walvault {

// One identity of a cluster. A name gets a further one, with a higher number,
// when pg_upgrade has given the cluster a new system identifier, or when it is
// registered again after it was removed.
struct ClusterIdentity {
  std::string name;
  std::uint32_t number = 1;
  std::uint64_t system_identifier = 0;
  int postgres_major = 0;
  WalGeometry geometry;
  Timestamp registered;

  bool operator==(const ClusterIdentity&) const = default;
};

// One registration as it is stored: of an identity, or that the name was removed.
struct Registration {
  bool is_removed = false;
  ClusterIdentity identity;
};
[[nodiscard]] Bytes encode_registration(const Registration& registration);
// Error{corrupt}.
[[nodiscard]] Registration decode_registration(std::uint32_t number, ByteView payload);

// Whether both are of one server: system identifier, major, segment size.
[[nodiscard]] bool is_same_cluster(const ClusterIdentity& a, const ClusterIdentity& b);

// What the keys of one identity begin with: "wal/main/1/".
[[nodiscard]] std::string prefix_of(ObjectPlace place, const ClusterIdentity& identity);

// Whether a name matches [a-z0-9][a-z0-9_-]{0,62}. Error{usage} unless it does.
[[nodiscard]] bool is_cluster_name(std::string_view name);
void check_cluster_name(const std::string& name);

// The newest identity of a name; nullopt when it is not registered.
[[nodiscard]] std::optional<ClusterIdentity> find_cluster(const Repository& repository,
                                                          const std::string& name);

// An Error that names the registered ones when there is no such name:
// {not_found} for who asks, {conflict} for who wants to write under it.
[[nodiscard]] ClusterIdentity get_cluster(const Repository& repository, const std::string& name,
                                          ErrorKind when_unknown = ErrorKind::not_found);

// All identities of a registered name since it was last removed, oldest first:
// those whose backups and WAL count. The same errors as get_cluster.
[[nodiscard]] std::vector<ClusterIdentity> cluster_identities(const Repository& repository,
                                                              const std::string& name);

// The one of that number. Error{not_found} when it does not count.
[[nodiscard]] ClusterIdentity get_cluster_identity(const Repository& repository,
                                                   const std::string& name, std::uint32_t number);

// The newest identity of every registered name.
[[nodiscard]] std::vector<ClusterIdentity> list_clusters(const Repository& repository);

// Registers a name; the number is chosen here. Error{conflict} when the name is
// taken, unless by the very same cluster: then nothing is written. Returns the
// identity that is registered, and whether this call did it.
struct Registered {
  ClusterIdentity identity;
  bool anew = false;
};
Registered add_cluster(const Repository& repository, ClusterIdentity identity);

// Gives a registered name the identity that pg_upgrade made. The same answer.
// Error{conflict} for an identity that the name had before, an older major, or
// another major under the same system identifier, which no pg_upgrade leaves.
Registered upgrade_cluster(const Repository& repository, ClusterIdentity identity);

// Ends a registration. Nothing that is stored under the name counts any more;
// none of it is deleted.
void remove_cluster(const Repository& repository, const std::string& name, Timestamp now);

// Sees to it that the name means the same cluster in another repository, identity by
// identity, as far as this one knows it. Error{conflict} where it means another one
// there. `dry_run`: only that.
void copy_registrations(const Repository& from, const Repository& to, const std::string& name,
                        bool dry_run);

}  // namespace walvault
