#include "app/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <deque>

#include "app/command_description.h"
#include "app/version.h"
#include "base/error.h"
#include "base/format.h"

namespace walvault {

struct CommandLine::Node {
  std::unique_ptr<CLI::App> owned;  // of the program; commands belong to it
  CLI::App* app = nullptr;
  GlobalOptions* globals = nullptr;
  std::function<void()> action;
  std::deque<std::unique_ptr<CommandLine>> commands;
};

namespace {

void add_globals(CLI::App& app, GlobalOptions& options) {
  app.add_option("--config", options.config, "The configuration file [$WALVAULT_CONFIG]");
  app.add_option(
      "--repo", options.repo,
      "The repository: /path, s3://BUCKET/PREFIX, or the number of a further one [$WALVAULT_REPO]");
  app.add_option("--cluster", options.cluster, "The name of the cluster [$WALVAULT_CLUSTER]");
  app.add_flag("--json", options.json, "Print the result as one JSON document");
  app.add_option("--log-level", options.log_level, "debug, info, warning or error")
      ->check(CLI::IsMember({"debug", "info", "warning", "error"}));
  app.add_flag("--no-progress", options.no_progress, "Report no progress");
}

std::vector<std::string> command_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const auto* command : app.get_subcommands({})) names.push_back(command->get_name());
  return names;
}

std::vector<std::string> option_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const auto* option : app.get_options()) {
    for (const auto& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

// The innermost command that the words on the command line chose.
const CLI::App& chosen(const CLI::App& app) {
  const auto commands = app.get_subcommands();
  return commands.empty() ? app : chosen(*commands.front());
}

// "Try: walvault cluster add --help"
std::string try_help(const CLI::App& command) {
  std::string words;
  for (const auto* app = &command; app != nullptr; app = app->get_parent()) {
    words.insert(0, " ").insert(0, app->get_name());
  }
  return "Try: " + words + "--help";
}

// Thrown to leave the parser, as it does itself for --help.
struct Generate {
  std::string what;
};

std::vector<OptionDescription> options_of(const CLI::App& app, bool arguments) {
  std::vector<OptionDescription> found;
  for (const auto* option : app.get_options()) {
    if (option->get_positional() != arguments) continue;
    found.push_back({.name = arguments ? option->get_name(true) : option->get_name(),
                     .help = option->get_description(),
                     .takes_value = option->get_items_expected_max() > 0,
                     .is_required = option->get_required()});
  }
  return found;
}

CommandDescription describe(const CLI::App& app, const std::vector<std::string>& global_names) {
  CommandDescription description{.name = app.get_name(),
                                 .help = app.get_description(),
                                 .options = options_of(app, false),
                                 .arguments = options_of(app, true),
                                 .commands = {}};
  std::erase_if(description.options, [&](const OptionDescription& option) {
    return std::ranges::find(global_names, option.name) != global_names.end();
  });
  for (const auto* command : app.get_subcommands({})) {
    description.commands.push_back(describe(*command, global_names));
  }
  return description;
}

ProgramDescription describe_program(const CLI::App& app) {
  // What every command takes: a program without any takes the same.
  GlobalOptions unused;
  CLI::App globals;
  add_globals(globals, unused);
  globals.set_help_flag("-h,--help", "Print this help message and exit");
  std::vector<std::string> names{"--version", "--generate"};
  for (const auto* option : globals.get_options()) names.push_back(option->get_name());
  return {.program = describe(app, names),
          .global_options = options_of(globals, false),
          .version = version_text()};
}

std::string generate(const CLI::App& app, const std::string& what) {
  const auto description = describe_program(app);
  if (what == "man") return man_page(description);
  return what == "bash" ? bash_completion(description) : zsh_completion(description);
}

Error usage_error(const CLI::App& app, const CLI::ParseError& error) {
  const auto& command = chosen(app);
  auto hint = try_help(command);
  const std::string message = error.what();
  // What was not understood stands in the parser's list of remainders.
  for (auto word : app.remaining(true)) {
    if (word.starts_with("-")) word.resize(std::min(word.find('='), word.size()));
    const auto near = word.starts_with("-") ? nearest_word(word, option_names(command))
                                            : nearest_word(word, command_names(command));
    if (near) hint = "Did you mean " + *near + "?";
    break;
  }
  return {ErrorKind::usage, "the command line is not understood", message + ".", hint};
}

}  // namespace

CommandLine::CommandLine(std::string name, std::string description)
    : node_(std::make_unique<Node>()) {
  node_->owned = std::make_unique<CLI::App>(std::move(description), std::move(name));
  node_->app = node_->owned.get();
}
CommandLine::CommandLine(std::unique_ptr<Node> node) : node_(std::move(node)) {}
CommandLine::~CommandLine() = default;

void CommandLine::add_global_options(GlobalOptions& options) {
  node_->globals = &options;
  add_globals(*node_->app, options);
  node_->app->set_version_flag("--version", "walvault " + version_text());
  // Runs as soon as it is parsed, before arguments are missed.
  node_->app
      ->add_option_function<std::string>(
          "--generate", [](const std::string& what) { throw Generate{what}; },
          "Print the manual page (man) or a completion (bash, zsh)")
      ->check(CLI::IsMember({"man", "bash", "zsh"}))
      ->trigger_on_parse();
}

void CommandLine::action(std::function<void()> action) { node_->action = std::move(action); }

CommandLine& CommandLine::command(const std::string& name, const std::string& description,
                                  std::function<void()> action) {
  auto node = std::make_unique<Node>();
  node->app = node_->app->add_subcommand(name, description);
  node->globals = node_->globals;
  if (node->globals != nullptr) add_globals(*node->app, *node->globals);
  node->action = std::move(action);
  node_->commands.push_back(std::unique_ptr<CommandLine>(new CommandLine(std::move(node))));
  return *node_->commands.back();
}

void CommandLine::option(const std::string& names, std::string& target, const std::string& help) {
  node_->app->add_option(names, target, help)->capture_default_str();
}
void CommandLine::option(const std::string& names, std::optional<std::string>& target,
                         const std::string& help) {
  node_->app->add_option(names, target, help);
}
void CommandLine::option(const std::string& names, std::vector<std::string>& target,
                         const std::string& help) {
  node_->app->add_option(names, target, help)->expected(1)->allow_extra_args(false)->take_all();
}
void CommandLine::required_option(const std::string& names, std::string& target,
                                  const std::string& help) {
  node_->app->add_option(names, target, help)->required();
}
void CommandLine::flag(const std::string& names, bool& target, const std::string& help) {
  node_->app->add_flag(names, target, help);
}
void CommandLine::argument(const std::string& name, std::string& target, const std::string& help) {
  node_->app->add_option(name, target, help)->required();
}

std::optional<std::function<void()>> CommandLine::parse(int argc, char** argv) {
  try {
    node_->app->parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    std::fputs(node_->app->help().c_str(), stdout);  // of the command that is chosen
    return std::nullopt;
  } catch (const Generate& asked) {
    std::fputs(generate(*node_->app, asked.what).c_str(), stdout);
    return std::nullopt;
  } catch (const CLI::CallForVersion&) {
    std::printf("%s\n", node_->app->version().c_str());
    return std::nullopt;
  } catch (const CLI::ParseError& error) {
    throw usage_error(*node_->app, error);
  }
  const CommandLine* current = this;
  while (true) {
    const CommandLine* next = nullptr;
    for (const auto& command : current->node_->commands) {
      if (command->node_->app->parsed()) next = command.get();
    }
    if (next == nullptr) break;
    current = next;
  }
  if (!current->node_->commands.empty() && !current->node_->action) {
    const auto names = list_of(command_names(*current->node_->app), std::identity());
    throw Error(ErrorKind::usage, "a command is missing", "There are: " + names + ".",
                try_help(*current->node_->app));
  }
  return current->node_->action ? current->node_->action : std::function<void()>([] {});
}

}  // namespace walvault
