// What every program of this project shares: its options, its configuration,
// how a result and an error are shown, how it ends.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "app/command_line.h"
#include "app/config.h"
#include "app/open_repository.h"
#include "base/clock.h"
#include "base/error.h"

namespace walvault {

class Program {
 public:
  Program(std::string name, std::string description);

  [[nodiscard]] CommandLine& command_line() { return command_line_; }
  [[nodiscard]] const GlobalOptions& options() const { return options_; }

  // Read on first use.
  [[nodiscard]] const Config& config();

  [[nodiscard]] OpenRepository open_repository(Caching caching = Caching::none,
                                               Patience patience = {});

  // Random, the same for the whole run: names what this run writes.
  [[nodiscard]] const RandomId& writer() const { return writer_; }

  // Prints the result to stdout: the JSON document with --json, else the text.
  void print(const nlohmann::ordered_json& document, const std::string& text) const;

  [[nodiscard]] bool shows_progress() const { return !options_.no_progress; }

  // Parses, runs, and turns whatever is thrown into words and an exit code.
  // The last stop of every exception.
  using ExitCode = std::function<int(ErrorKind)>;
  [[nodiscard]] int run(int argc, char** argv, const ExitCode& exit_code_of = exit_code);

  // For an action that ended well but has another exit status to give.
  void set_exit_code(int code) { exit_code_ = code; }

 private:
  void report(const Error& error, bool json) const;

  GlobalOptions options_;
  CommandLine command_line_;
  std::optional<Config> config_;
  RandomId writer_;
  int exit_code_ = 0;
};

}  // namespace walvault
