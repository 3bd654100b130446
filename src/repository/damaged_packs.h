// Packs whose stored bytes were found to be wrong. What a backup would borrow from
// one it stores anew, so the next backup is whole again.
#pragma once

#include <set>
#include <string>

#include "base/clock.h"
#include "repository/pack.h"
#include "repository/repository.h"

namespace walvault {

// Stored on disk.
enum class PackDamage : std::uint8_t {
  stored = 1,   // its bytes are not those of its name
  content = 2,  // they are, and do not decode to the chunks that backups have in it
};

// Until the pack is removed or found right. The first mark of a pack counts.
void mark_damaged(const Repository& repository, const PackName& pack, PackDamage damage,
                  Timestamp found);

// All that are marked.
[[nodiscard]] std::set<PackName> list_damaged_packs(const Repository& repository);

// Why one is marked; `content`, the graver, where the mark itself is damaged.
[[nodiscard]] PackDamage damage_of_pack(const Repository& repository, const PackName& pack);

// The key of a mark.
[[nodiscard]] std::string damaged_pack_key(const PackName& pack);

}  // namespace walvault
