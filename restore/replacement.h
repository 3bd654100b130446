// What a restore demands of a directory that it replaces, and what it saves of it first.
#pragma once

#include <string>
#include <vector>

#include "archiving/push.h"
#include "base/reporter.h"
#include "catalog/records/cluster.h"

namespace walvault {

struct Replacement {
  std::string directory;  // absolute
  // It is made into another state of the same cluster (--delta), not emptied (--force).
  bool is_delta = false;
  bool may_be_anything = false;  // also what is no directory of this cluster
  bool saves_wal = true;
  bool dry_run = false;
};

// An empty directory is always right. Error{conflict}: a server works there, it is none of
// this cluster, it holds a timeline that is not archived, or WAL that only it has cannot be
// archived. `identities`: of the cluster, oldest first.
void prepare_replacement(const Replacement& replacement, const Repository& repository,
                         const std::vector<ClusterIdentity>& identities, const PushOptions& push,
                         const Reporter& reporter);

}  // namespace walvault
