// What is decided in the first repository holds in those that are archived to beside it.
#pragma once

#include <functional>
#include <string>

#include "app/program.h"

namespace walvault {

// Runs the action on each of them. Where it fails for one that is required, an Error that
// says `undone`, what is not so there; for the others a warning, and `walvault copy` does it.
void for_each_further(Program& program, const std::string& undone,
                      const std::function<void(const Repository& further)>& action);

}  // namespace walvault
