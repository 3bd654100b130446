// What a program's commands and options are, for texts that are made of it.
#pragma once

#include <string>
#include <vector>

namespace walvault {

struct OptionDescription {
  std::string name;  // --pgdata, or NAME for an argument
  std::string help;
  bool takes_value = false;
  bool is_required = false;
};

struct CommandDescription {
  std::string name;  // walvault, cluster, add
  std::string help;
  std::vector<OptionDescription> options;  // its own: not those that every command takes
  std::vector<OptionDescription> arguments;
  std::vector<CommandDescription> commands;
};

struct ProgramDescription {
  CommandDescription program;
  std::vector<OptionDescription> global_options;
  std::string version;
};

// A page for man(1), as roff.
[[nodiscard]] std::string man_page(const ProgramDescription& description);

// What bash and zsh source to complete the program's commands and options.
[[nodiscard]] std::string bash_completion(const ProgramDescription& description);
[[nodiscard]] std::string zsh_completion(const ProgramDescription& description);

}  // namespace walvault
