#include "repository/damaged_packs.h"

#include "base/error.h"
#include "repository/object_table.h"

namespace walvault {
namespace {}  // namespace

std::string damaged_pack_key(const PackName& pack) {
  return std::string(prefix_of(ObjectPlace::damaged)) +
         pack.key().substr(prefix_of(ObjectPlace::packs).size());
}

void mark_damaged(const Repository& repository, const PackName& pack, PackDamage damage,
                  Timestamp found) {
  ByteWriter payload;
  payload.u8(static_cast<std::uint8_t>(damage));
  payload.time(found);
  (void)repository.put_sealed(ObjectKind::damaged_pack, damaged_pack_key(pack), payload.bytes());
}

std::set<PackName> list_damaged_packs(const Repository& repository) {
  std::set<PackName> packs;
  // The key alone says it.
  repository.storage().list(prefix_of(ObjectPlace::damaged), [&](const ObjectInfo& object) {
    const auto key = std::string(prefix_of(ObjectPlace::packs)) +
                     object.key.substr(prefix_of(ObjectPlace::damaged).size());
    if (const auto pack = PackName::parse(key)) packs.insert(*pack);
  });
  return packs;
}

PackDamage damage_of_pack(const Repository& repository, const PackName& pack) {
  try {
    const auto payload = repository.find_sealed(ObjectKind::damaged_pack, damaged_pack_key(pack));
    const bool is_stored = payload && !payload->empty() &&
                           payload->front() == static_cast<std::uint8_t>(PackDamage::stored);
    return is_stored ? PackDamage::stored : PackDamage::content;
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::corrupt) throw;
    return PackDamage::content;
  }
}

}  // namespace walvault
