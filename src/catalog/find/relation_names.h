// What files of relations were called, by the snapshots of the catalogue that backups took.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "catalog/records/catalogue_snapshot.h"
#include "catalog/records/cluster.h"
#include "repository/repository.h"

namespace walvault {

// Of one identity of a cluster.
class RelationNames {
 public:
  RelationNames(const Repository& repository, const ClusterIdentity& identity);

  // What the newest snapshot up to `lsn` says, or one before it; the names that
  // follow only where none before has any.
  [[nodiscard]] std::optional<RelationName> find(const RelationFile& file, Lsn lsn);
  [[nodiscard]] std::string database(std::uint32_t oid, Lsn lsn);
  // The file number of a database's pg_class.
  [[nodiscard]] std::uint32_t pg_class(std::uint32_t database, Lsn lsn);

 private:
  template <typename Look>
  void look_back(Lsn lsn, Look&& look);

  const Repository& repository_;
  std::vector<StoredCatalogue> stored_;
  std::map<std::string, CatalogueSnapshot> read_;
};

}  // namespace walvault
