#include "catalog/copy/copied_records.h"

#include <set>

#include "repository/damage.h"
#include "repository/object_table.h"

namespace walvault {

void copy_catalogues(const Repository& from, const Repository& to, const ClusterIdentity& identity,
                     const Reporter& reporter) {
  const auto prefix = prefix_of(ObjectPlace::catalogues, identity);
  const auto names = to.storage().list_names(prefix);
  const std::set<std::string> known(names.begin(), names.end());
  for (const auto& name : from.storage().list_names(prefix)) {
    if (known.contains(name)) continue;
    const auto key = prefix + name;
    try {
      const auto payload = from.find_sealed(ObjectKind::catalogue, key);
      if (payload) (void)to.put_sealed(ObjectKind::catalogue, key, *payload);
    } catch (const Error& error) {
      if (!is_damage(error)) throw;
      reporter.warn("names for walvault find are not copied: " + error.message());
    }
  }
}

}  // namespace walvault
