// Whether an error says that an object is damaged, for who goes on without it. What a newer
// version wrote cannot be read either.
#pragma once

#include "base/error.h"

namespace walvault {

[[nodiscard]] inline bool is_damage(const Error& error) {
  return error.kind() == ErrorKind::corrupt || error.kind() == ErrorKind::conflict;
}

// What `action`, which returns an optional, gives; nullopt where it meets damage.
template <typename Action>
[[nodiscard]] auto unless_damaged(Action&& action) -> decltype(action()) {
  try {
    return action();
  } catch (const Error& error) {
    if (!is_damage(error)) throw;
    return std::nullopt;
  }
}

}  // namespace walvault
