#include "app/version.h"

namespace walvault {

std::string version_text() { return WALVAULT_VERSION; }

}  // namespace walvault
