// The WAL between a backup and the point where recovery stops.
#pragma once

#include <functional>

#include "catalog/recovery/target_resolution.h"

namespace walvault {

// Reads all WAL that replay will ask for, with `jobs` at work: damage is to be
// found before a byte is written, not hours later. False: all of that is whole,
// but what follows it is damaged and must not be read ahead. A standby needs no
// more than makes its backup consistent. Error{unreachable_target} naming the
// segment and the last position before it. `check_cancelled` is called from any
// thread.
[[nodiscard]] bool expect_readable(const WalArchive& archive, const ProvedPlan& proved,
                                   unsigned jobs, bool standby,
                                   const std::function<void()>& check_cancelled);

}  // namespace walvault
