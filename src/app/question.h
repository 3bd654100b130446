// Questions to a person at a terminal.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace walvault {

// Asks on stderr and reads the answer from stdin, again where it is none of those. nullopt: nobody
// sits there (either is no terminal, or the input ended), or no answer was understood. Throws
// Interrupted for a caught signal.
[[nodiscard]] std::optional<std::string> ask(const std::string& question,
                                             const std::vector<std::string>& answers);

}  // namespace walvault
