// The names under which a backup's root keeps what belongs beside its files.
// docs/repository-format.md, "Roots".
#pragma once

#include <string_view>

namespace walvault {

inline constexpr std::string_view manifest_stream = "manifest";
inline constexpr std::string_view attributes_stream = "attributes";
inline constexpr std::string_view backup_label_note = "backup_label";
inline constexpr std::string_view tablespace_map_note = "tablespace_map";

}  // namespace walvault
