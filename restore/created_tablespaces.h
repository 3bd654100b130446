// Tablespaces that replay makes: it links each to where the original had it, whatever the restore
// has mapped.
#pragma once

#include <string>
#include <vector>

#include "restore/restore.h"

namespace walvault {

// Error{conflict} for a mapping of one: it would be in vain.
void refuse_mappings_of(const std::vector<TablespaceCreation>& created,
                        const std::vector<TablespaceMapping>& mappings);

// Error{conflict} where something lies in such a directory: replay would write over it, and a copy
// beside its original into that one's files. `ours`: directories that the restore fills, or
// empties, itself.
void expect_free_places_for(const std::vector<TablespaceCreation>& created,
                            const std::vector<std::string>& ours);

// Makes those directories that are missing: replay makes links only.
void make_places_for(const std::vector<TablespaceCreation>& created,
                     const std::optional<FileOwner>& owner);

}  // namespace walvault
