// Reads the trees of the backups in scope: all that they name decodes to what they say.
#pragma once

#include "catalog/verification/verify_state.h"

namespace walvault {

// Deep, all content; else only where a pack is damaged and the files in it are to be named.
void read_trees(VerifyState& state);

}  // namespace walvault
