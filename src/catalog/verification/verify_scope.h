// What a verification looks at: which backups, which packs they need, whether those are there.
#pragma once

#include "catalog/verification/verify_state.h"

namespace walvault {

// Finds the backups in question, holds what they need, and looks for their packs.
void find_scope(VerifyState& state);

}  // namespace walvault
