// What the work below a command says, and whether it goes on: to the log, and by signals.
#pragma once

#include "base/reporter.h"

namespace walvault {

[[nodiscard]] Reporter program_reporter();

}  // namespace walvault
