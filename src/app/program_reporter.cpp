#include "app/program_reporter.h"

#include "app/cancellation.h"
#include "app/log.h"

namespace walvault {

Reporter program_reporter() {
  return {.info = log_info, .warn = log_warning, .check_cancelled = check_cancelled};
}

}  // namespace walvault
