// Decisions, and names of relations, that another repository has and this one does not.
#pragma once

#include "catalog/repair/mended.h"
#include "repository/repository.h"

namespace walvault {

// The names of clusters whose registrations and branches can be read.
[[nodiscard]] std::vector<std::string> readable_clusters(const Repository& repository);

// Nobody deletes one, so what is not here is lost, or was never brought. What was decided here
// later stands. Adds to `report` what came.
void bring_records(const Repository& ours, const Repository& theirs, RepairReport& report);

}  // namespace walvault
