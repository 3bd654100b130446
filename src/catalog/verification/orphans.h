// What lies in a repository and nothing leads to it: because one small object is lost that did.
// Without a look of its own nobody would miss that: what cannot be reached is not asked for.
#pragma once

#include <string>
#include <vector>

#include "repository/repository.h"

namespace walvault {

struct Orphan {
  std::string key;  // of the lost object: "clusters/main/1"
  std::string why;  // it is known to be lost
};

// Registrations of which backups or WAL are here, openings of branches of which WAL is here, and
// backups of which the copy of their root is here. Only names are read for that, as a rule.
[[nodiscard]] std::vector<Orphan> find_orphans(const Repository& repository);

// Of them those of registrations and branches.
[[nodiscard]] std::vector<Orphan> find_unregistered(const Repository& repository);

}  // namespace walvault
