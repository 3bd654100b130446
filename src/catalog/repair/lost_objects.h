// What another repository has of an object that is missing or damaged in this one. Everything
// is checked before it is handed over: that it is whole, and that it is of the same thing.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "catalog/records/cluster.h"
#include "catalog/wal/wal_archive.h"
#include "repository/repository.h"

namespace walvault {

// Not thread-safe. The repositories must outlive it.
class LostObjects {
 public:
  LostObjects(const Repository& ours, const Repository& theirs) : ours_(ours), theirs_(theirs) {}

  // The bytes for a key of ours. `why` says what is the matter where there are none. For packs,
  // roots, WAL and sealed objects.
  [[nodiscard]] std::optional<Bytes> find(const std::string& key, std::string& why);

  // The segments of a branch that theirs has, from number `first` to before `behind`, ascending.
  [[nodiscard]] std::vector<std::uint64_t> numbers_of(const WalArchive& here, TimelineBranch branch,
                                                      std::uint64_t first, std::uint64_t behind);

  // Of a segment that is not here, the keys that its saved parts have in theirs would have here.
  [[nodiscard]] std::vector<std::string> keys_of_parts(const WalArchive& here,
                                                       const SegmentName& segment);

 private:
  [[nodiscard]] std::optional<Bytes> find_pack(const std::string& key, std::string& why) const;
  [[nodiscard]] std::optional<Bytes> find_root(const std::string& key, std::string& why) const;
  [[nodiscard]] std::optional<Bytes> find_wal(const std::string& key, std::string& why);
  [[nodiscard]] std::optional<Bytes> find_sealed(const std::string& key, std::string& why);
  [[nodiscard]] bool is_of_one_cluster(const std::string& key);
  [[nodiscard]] std::optional<Bytes> find_of_series(ObjectKind kind, const std::string& key) const;

  // Ours and theirs of one server.
  struct Archives {
    WalArchive ours;
    WalArchive theirs;
  };
  [[nodiscard]] const Archives* archives_of(const std::string& cluster, std::uint32_t number,
                                            std::string& why);

  const Repository& ours_;
  const Repository& theirs_;
  std::map<std::pair<std::string, std::uint32_t>, std::optional<Archives>> archives_;
};

}  // namespace walvault
