// The names of relations' files in a data directory (catalog/catalog.c, GetRelationPath).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "postgres/wal_record.h"

namespace walvault {

struct RelationPath {
  RelationFile relation;
  std::string_view fork;  // "", "fsm", "vm" or "init": a part of the path
  std::uint32_t segment = 0;
};

// base/5/16384_vm.1, global/1262, pg_tblspc/16400/PG_17_202406281/5/16385; nullopt for any
// other path, a temporary relation's too.
[[nodiscard]] std::optional<RelationPath> parse_relation_path(std::string_view path);

}  // namespace walvault
