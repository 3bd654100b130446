// Every key of the configuration file, in one table: how it is read, what it means, what it is
// where it is not set. docs/walvault.example.toml, the manual page and the errors are made of it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "app/config.h"

namespace walvault {

// Reads the file that `config.path` names. Error{usage} naming file, line and key.
void read_config_file(Config& config);

// One key as texts tell of it.
struct ConfigKeyText {
  std::string_view name;
  std::string_view help;      // sentences
  std::string_view fallback;  // what it is where it is not set; empty: the help tells
  std::string_view example;   // as TOML
  bool is_shown = false;      // in the example file it is set
};

struct ConfigSectionText {
  std::string_view name;  // "repository.2"
  std::string_view help;
  std::vector<ConfigKeyText> keys;
  bool is_shown = false;
};

// In the order of the file.
[[nodiscard]] std::vector<ConfigSectionText> config_sections();

// docs/walvault.example.toml.
[[nodiscard]] std::string config_example();

// The number of a [repository.N]: of "2" to "9".
[[nodiscard]] std::optional<unsigned> repository_number(std::string_view text);

}  // namespace walvault
