// Which relation's files had which numbers, when a server was asked: WAL knows
// relations by number alone. docs/repository-format.md, "Catalogue snapshots".
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "catalog/records/cluster.h"
#include "postgres/wal_record.h"

namespace walvault {

struct RelationName {
  RelationFile file;
  std::uint32_t oid = 0;
  char kind = 'r';   // pg_class.relkind
  std::string name;  // schema.relation; of a TOAST table, that of its table

  bool operator==(const RelationName&) const = default;
};

struct DatabaseNames {
  std::uint32_t oid = 0;
  std::string name;
  // Why its relations are not known; empty: they are.
  std::string unknown;
  std::vector<RelationName> relations;  // ascending by file

  bool operator==(const DatabaseNames&) const = default;
};

struct CatalogueSnapshot {
  Lsn lsn;  // everything before it is known, and something behind it may be
  Timestamp taken;
  std::vector<DatabaseNames> databases;

  bool operator==(const CatalogueSnapshot&) const = default;

  [[nodiscard]] const RelationName* find(const RelationFile& file) const;
  [[nodiscard]] const DatabaseNames* find_database(std::uint32_t oid) const;
};

// Relations beyond so many are left out of a snapshot.
inline constexpr std::size_t catalogue_relations_max = 1'000'000;

[[nodiscard]] Bytes encode_catalogue(const CatalogueSnapshot& snapshot);
[[nodiscard]] CatalogueSnapshot decode_catalogue(ByteView payload);

// False: nothing changed since the one before, which is as good.
bool put_catalogue(const Repository& repository, const ClusterIdentity& identity,
                   const CatalogueSnapshot& snapshot);

// Of an identity, by position.
struct StoredCatalogue {
  Lsn lsn;
  std::string key;
};
[[nodiscard]] std::vector<StoredCatalogue> list_catalogues(const Repository& repository,
                                                           const ClusterIdentity& identity);
[[nodiscard]] CatalogueSnapshot get_catalogue(const Repository& repository,
                                              const StoredCatalogue& stored);

}  // namespace walvault
