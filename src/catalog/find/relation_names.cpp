#include "catalog/find/relation_names.h"

#include <algorithm>

#include "base/error.h"

namespace walvault {
namespace {

constexpr std::size_t snapshots_max = 8;

}  // namespace

RelationNames::RelationNames(const Repository& repository, const ClusterIdentity& identity)
    : repository_(repository), stored_(list_catalogues(repository, identity)) {}

template <typename Look>
void RelationNames::look_back(Lsn lsn, Look&& look) {
  const auto look_at = [&](const StoredCatalogue& stored) {
    auto it = read_.find(stored.key);
    if (it == read_.end()) {
      CatalogueSnapshot snapshot;
      try {
        snapshot = get_catalogue(repository_, stored);
      } catch (const Error& error) {
        if (error.kind() != ErrorKind::corrupt) throw;
      }
      if (read_.size() == snapshots_max) read_.erase(read_.begin());
      it = read_.emplace(stored.key, std::move(snapshot)).first;
    }
    return look(it->second);
  };
  const auto behind = std::ranges::upper_bound(stored_, lsn, {}, &StoredCatalogue::lsn);
  std::size_t looked = 0;
  for (auto it = behind; it != stored_.begin() && looked < snapshots_max; ++looked) {
    if (look_at(*--it)) return;
  }
  for (auto it = behind; it != stored_.end() && looked < snapshots_max; ++it, ++looked) {
    if (look_at(*it)) return;
  }
}

std::optional<RelationName> RelationNames::find(const RelationFile& file, Lsn lsn) {
  std::optional<RelationName> found;
  look_back(lsn, [&](const CatalogueSnapshot& snapshot) {
    if (const auto* const known = snapshot.find(file)) found = *known;
    return found.has_value();
  });
  return found;
}

std::string RelationNames::database(std::uint32_t oid, Lsn lsn) {
  std::string found;
  look_back(lsn, [&](const CatalogueSnapshot& snapshot) {
    if (const auto* const known = snapshot.find_database(oid)) found = known->name;
    return !found.empty();
  });
  return found;
}

std::uint32_t RelationNames::pg_class(std::uint32_t database, Lsn lsn) {
  std::uint32_t number = 1259;  // unless it was rewritten
  look_back(lsn, [&](const CatalogueSnapshot& snapshot) {
    const auto* const known = snapshot.find_database(database);
    if (known == nullptr) return false;
    const auto it = std::ranges::find(known->relations, "pg_catalog.pg_class", &RelationName::name);
    if (it == known->relations.end()) return false;
    number = it->file.number;
    return true;
  });
  return number;
}

}  // namespace walvault
