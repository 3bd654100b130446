#include "restore/created_tablespaces.h"

#include <algorithm>

#include "base/error.h"
#include "datadir/data_directory.h"
#include "datadir/file_tree.h"

namespace walvault {
namespace {

std::string other_ways(const TablespaceCreation& creation) {
  return "Choose a target before " + creation.lsn.text() +
         " or a backup that was taken after it (--backup), or restore on another machine or in a "
         "container, where that directory can be its own.";
}

}  // namespace

void refuse_mappings_of(const std::vector<TablespaceCreation>& created,
                        const std::vector<TablespaceMapping>& mappings) {
  for (const auto& creation : created) {
    if (std::ranges::find(mappings, creation.location, &TablespaceMapping::from) == mappings.end())
      continue;
    throw Error(ErrorKind::conflict,
                "the tablespace \"" + creation.location + "\" cannot be mapped",
                "It is made at " + creation.lsn.text() +
                    ", behind the backup's start: replay makes it where the original had it.",
                other_ways(creation));
  }
}

void expect_free_places_for(const std::vector<TablespaceCreation>& created,
                            const std::vector<std::string>& ours) {
  for (const auto& creation : created) {
    const auto& location = creation.location;
    if (std::ranges::find(ours, location) != ours.end()) continue;
    try {
      DataDirectory(location).expect_vacant("the tablespace's directory");
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::conflict) throw;
      throw Error(ErrorKind::conflict,
                  "replay would write into \"" + location + "\", which is in use",
                  "The WAL makes a tablespace there, at " + creation.lsn.text() +
                      ", behind the backup's start; mapping does not reach it.",
                  other_ways(creation));
    }
  }
}

void make_places_for(const std::vector<TablespaceCreation>& created,
                     const std::optional<FileOwner>& owner) {
  const ActingAs acting(owner);
  for (const auto& creation : created) make_directory_tree(creation.location, 0700);
}

}  // namespace walvault
