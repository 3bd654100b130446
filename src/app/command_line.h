// Declares a program's options and commands; CLI11 lives behind it.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace walvault {

struct GlobalOptions {
  std::optional<std::string> config;
  std::optional<std::string> repo;
  std::optional<std::string> cluster;
  bool json = false;
  std::string log_level = "info";
  bool no_progress = false;
};

// One command and its options. The targets must outlive the parsing.
class CommandLine {
 public:
  // The program itself.
  CommandLine(std::string name, std::string description);
  ~CommandLine();

  // Adds --config, --repo, --cluster, --json, --log-level, --no-progress,
  // --version, here and on every command below; --generate, here only.
  void add_global_options(GlobalOptions& options);

  // What a program without commands does.
  void action(std::function<void()> action);

  // A command below this one; `action` runs when it is the one asked for.
  CommandLine& command(const std::string& name, const std::string& description,
                       std::function<void()> action = {});

  void option(const std::string& names, std::string& target, const std::string& help);
  void option(const std::string& names, std::optional<std::string>& target,
              const std::string& help);
  void option(const std::string& names, std::vector<std::string>& target, const std::string& help);
  void required_option(const std::string& names, std::string& target, const std::string& help);
  void flag(const std::string& names, bool& target, const std::string& help);
  void argument(const std::string& name, std::string& target, const std::string& help);

  // Parses; returns the action of the command that was asked for. nullopt:
  // help, version, or a text made of them was asked for and printed.
  // Error{usage} for the rest.
  [[nodiscard]] std::optional<std::function<void()>> parse(int argc, char** argv);

 private:
  struct Node;
  explicit CommandLine(std::unique_ptr<Node> node);
  std::unique_ptr<Node> node_;
};

}  // namespace walvault
