// The version of this program.
#pragma once

namespace walvault {

inline constexpr const char* version_text = "0.1.0";

}  // namespace walvault
