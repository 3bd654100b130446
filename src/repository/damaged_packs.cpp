#include "repository/damaged_packs.h"

#include "base/error.h"

namespace walvault {
namespace {

constexpr std::string_view marks_prefix = "damaged/";
constexpr std::string_view packs_prefix = "packs/";

}  // namespace

std::string damaged_pack_key(const PackName& pack) {
  return std::string(marks_prefix) + pack.key().substr(packs_prefix.size());
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
  repository.storage().list(marks_prefix, [&](const ObjectInfo& object) {
    const auto key = std::string(packs_prefix) + object.key.substr(marks_prefix.size());
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
