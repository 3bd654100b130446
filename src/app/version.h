// The version of this program.
#pragma once

#include <string>

namespace walvault {

// "0.1.0", from CMakeLists.txt.
[[nodiscard]] std::string version_text();

}  // namespace walvault
