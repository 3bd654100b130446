// What the paths of a data directory's files tell of them.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace walvault {

// Whether the database is in there, and not only its settings, logs or sockets.
// Relative to the data directory, or anywhere in a tablespace.
[[nodiscard]] bool holds_data(std::string_view path);

// The path in a server's message about a file, whatever the message's language:
// "./base/5" of the data directory is "base/5", others are absolute. nullopt: none.
[[nodiscard]] std::optional<std::string> path_in_message(std::string_view message);

}  // namespace walvault
