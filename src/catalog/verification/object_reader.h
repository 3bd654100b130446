// Reads the stored bytes of what is in scope, in parallel.
#pragma once

#include "catalog/verification/verify_state.h"

namespace walvault {

// Of packs, WAL and all other objects, as far as the request asks for them.
void read_objects(VerifyState& state);

}  // namespace walvault
