#include "catalog/verification/verify_state.h"

#include "repository/damaged_packs.h"

namespace walvault {

void VerifyState::meter(std::uint64_t bytes) {
  reporter.check_cancelled();
  limit.take(bytes, reporter.check_cancelled);
  stored_bytes_read += bytes;
  progress.done(bytes);
}

void VerifyState::add_damage(std::string key, DamageKind kind, std::string why) {
  ++report.object_count;
  if (report.objects.size() >= damage_list_max) return;
  report.objects.push_back({.key = std::move(key), .kind = kind, .why = std::move(why)});
}

void VerifyState::mark(const PackName& name, PackDamage damage) {
  try {
    mark_damaged(repository, name, damage, journal.started());
  } catch (const Error& error) {
    reporter.warn("cannot mark " + name.key() +
                  " as damaged, so the next backup may rely on "
                  "it: " +
                  one_line(error));
  }
}

void VerifyState::unmark(const PackName& name) {
  try {
    storage.remove({damaged_pack_key(name)});
  } catch (const Error& error) {
    reporter.warn("cannot take back that " + name.key() +
                  " was found damaged before: " + one_line(error));
  }
}

}  // namespace walvault
