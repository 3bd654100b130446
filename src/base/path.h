// Paths that come from outside.
#pragma once

#include <string>
#include <string_view>

namespace walvault {

// Whether a path stays below where it is put: relative, not empty, and without
// empty, "." or ".." parts.
[[nodiscard]] bool is_inner_path(std::string_view path);

// The same place named from the root; "" stays as it is.
[[nodiscard]] std::string absolute_path(const std::string& path);

}  // namespace walvault
