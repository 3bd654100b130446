#include "app/command_description.h"

#include <algorithm>
#include <cctype>
#include <functional>
#include <set>

#include "app/config_keys.h"

namespace walvault {
namespace {

// ---- the manual page

// Text as roff: a backslash or a dash means itself, and no line begins with
// what would be a request.
std::string roff(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else if ((c == '.' || c == '\'') && (out.empty() || out.back() == '\n')) {
      out += "\\&";
      out.push_back(c);
    } else {
      out.push_back(c);
    }
  }
  return out;
}

// A value is named after its option: --pgdata PGDATA.
std::string value_name(const OptionDescription& option) {
  auto name = option.name.substr(option.name.find_first_not_of('-'));
  std::ranges::transform(name, name.begin(), [](unsigned char c) {
    return c == '-' ? '_' : static_cast<char>(std::toupper(c));
  });
  return name;
}

std::string option_paragraph(const OptionDescription& option) {
  std::string text = ".TP\n\\fB" + roff(option.name) + "\\fR";
  if (option.takes_value) text += " \\fI" + roff(value_name(option)) + "\\fR";
  text += "\n" + roff(option.help);
  if (option.is_required) text += " (required)";
  return text + "\n";
}

std::string argument_paragraph(const OptionDescription& argument) {
  return ".TP\n\\fI" + roff(argument.name) + "\\fR\n" + roff(argument.help) + "\n";
}

std::string synopsis(const std::string& words, const CommandDescription& command) {
  std::string text = ".B " + roff(words) + "\n";
  for (const auto& option : command.options) {
    if (option.is_required) {
      text += ".BI " + roff(option.name) + " \" " + roff(value_name(option)) + "\"\n";
    }
  }
  if (!command.commands.empty()) text += ".I command\n";
  text += "[\\fIoption\\fR]...\n";
  for (const auto& argument : command.arguments) text += ".I " + roff(argument.name) + "\n";
  return text;
}

void command_sections(const std::string& words, const CommandDescription& command,
                      std::string& page) {
  for (const auto& inner : command.commands) {
    const auto inner_words = words + " " + inner.name;
    if (inner.commands.empty()) {
      page += ".SS " + roff(inner_words) + "\n" + synopsis(inner_words, inner) + ".PP\n" +
              roff(inner.help) + ".\n";
      for (const auto& argument : inner.arguments) page += argument_paragraph(argument);
      for (const auto& option : inner.options) page += option_paragraph(option);
    }
    command_sections(inner_words, inner, page);
  }
}

// ---- completion

struct Place {
  std::string words;  // of the commands: "cluster add"
  const CommandDescription* command;
};

std::vector<Place> places_of(const CommandDescription& program) {
  std::vector<Place> places;
  const std::function<void(const std::string&, const CommandDescription&)> visit =
      [&](const std::string& words, const CommandDescription& command) {
        places.push_back({.words = words, .command = &command});
        for (const auto& inner : command.commands) {
          visit(words.empty() ? inner.name : words + " " + inner.name, inner);
        }
      };
  visit("", program);
  return places;
}

std::vector<OptionDescription> all_options(const ProgramDescription& description,
                                           const CommandDescription& command) {
  auto options = command.options;
  options.insert(options.end(), description.global_options.begin(),
                 description.global_options.end());
  return options;
}

std::string function_name(const std::string& program) {
  auto name = "_" + program;
  std::ranges::replace(name, '-', '_');
  return name;
}

// Within single quotes of a shell.
std::string quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

// A description within an item of zsh's _describe, where a colon separates.
std::string zsh_item(const std::string& name, const std::string& help) {
  std::string escaped;
  for (const char c : help) {
    if (c == ':') escaped.push_back('\\');
    escaped.push_back(c);
  }
  return quoted(name + ":" + escaped);
}

// A pattern of all options that a value follows.
std::string value_options(const ProgramDescription& description) {
  std::set<std::string> names;
  for (const auto& place : places_of(description.program)) {
    for (const auto& option : all_options(description, *place.command)) {
      if (option.takes_value) names.insert(option.name);
    }
  }
  std::string pattern;
  for (const auto& name : names) pattern += (pattern.empty() ? "" : "|") + name;
  return pattern;
}

std::string values_that_are_files() { return "--config|--pgdata|--output"; }

// Of the table that the file is read by.
std::string configuration_section() {
  std::string text = ".SH CONFIGURATION FILE\n" +
                     roff(
                         "Read from --config, else $WALVAULT_CONFIG, else "
                         "/etc/walvault/walvault.toml, as TOML.") +
                     "\n";
  for (const auto& section : config_sections()) {
    text += ".SS [" + roff(std::string(section.name)) + "]\n";
    if (!section.help.empty()) text += roff(std::string(section.help)) + "\n";
    for (const auto& key : section.keys) {
      text += ".TP\n.B " + roff(std::string(key.name)) + "\n" + roff(std::string(key.help));
      if (!key.fallback.empty()) text += roff(" Default: " + std::string(key.fallback) + ".");
      text += "\n";
    }
  }
  return text;
}

}  // namespace

std::string man_page(const ProgramDescription& description) {
  const auto& program = description.program;
  auto name = program.name;
  std::ranges::transform(name, name.begin(),
                         [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  std::string page = ".TH " + roff(name) + " 1 \"\" \"walvault " + roff(description.version) +
                     "\"\n.SH NAME\n" + roff(program.name) + " \\- " + roff(program.help) +
                     "\n.SH SYNOPSIS\n" + synopsis(program.name, program);
  if (!program.arguments.empty()) {
    page += ".SH ARGUMENTS\n";
    for (const auto& argument : program.arguments) page += argument_paragraph(argument);
  }
  if (!program.options.empty()) {
    page += ".SH OPTIONS\n";
    for (const auto& option : program.options) page += option_paragraph(option);
  }
  if (!program.commands.empty()) {
    page += ".SH COMMANDS\n";
    command_sections(program.name, program, page);
  }
  page += ".SH GENERAL OPTIONS\n";
  for (const auto& option : description.global_options) page += option_paragraph(option);
  if (!program.commands.empty()) page += configuration_section();
  return page;
}

std::string bash_completion(const ProgramDescription& description) {
  const auto& name = description.program.name;
  const auto function = function_name(name);
  std::string cases;
  for (const auto& [words, command] : places_of(description.program)) {
    std::string candidates;
    for (const auto& inner : command->commands) candidates += inner.name + " ";
    for (const auto& option : all_options(description, *command)) candidates += option.name + " ";
    if (!candidates.empty()) candidates.pop_back();
    cases += "    " + quoted(words) + ") candidates=" + quoted(candidates) + " ;;\n";
  }
  return "# bash completion for " + name + "\n" + function +
         "() {\n"
         "  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}\n"
         "  local words='' candidates='' i\n"
         "  case $before in\n"
         "    " +
         values_that_are_files() +
         ") COMPREPLY=($(compgen -f -- \"$word\")); return ;;\n"
         "  esac\n"
         "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
         "    case ${COMP_WORDS[i]} in\n"
         "      -*) ;;\n"
         "      *) case ${COMP_WORDS[i-1]} in " +
         value_options(description) +
         ") ;; *) words+=\" ${COMP_WORDS[i]}\" ;; esac ;;\n"
         "    esac\n"
         "  done\n"
         "  words=${words# }\n"
         "  case $words in\n" +
         cases +
         "  esac\n"
         "  COMPREPLY=($(compgen -W \"$candidates\" -- \"$word\"))\n"
         "}\n"
         "complete -o default -F " +
         function + " " + name + "\n";
}

std::string zsh_completion(const ProgramDescription& description) {
  const auto& name = description.program.name;
  const auto function = function_name(name);
  std::string cases;
  for (const auto& [words, command] : places_of(description.program)) {
    cases += "    " + quoted(words) + ")\n      candidates=(";
    for (const auto& inner : command->commands) {
      cases += "\n        " + zsh_item(inner.name, inner.help);
    }
    for (const auto& option : all_options(description, *command)) {
      cases += "\n        " + zsh_item(option.name, option.help);
    }
    cases += ")\n      ;;\n";
  }
  return "#compdef " + name + "\n" + function +
         "() {\n"
         "  local -a candidates\n"
         "  local commands='' i\n"
         "  case ${words[CURRENT-1]} in\n"
         "    " +
         values_that_are_files() +
         ") _files; return ;;\n"
         "  esac\n"
         "  for ((i = 2; i < CURRENT; i++)); do\n"
         "    case ${words[i]} in\n"
         "      -*) ;;\n"
         "      *) case ${words[i-1]} in " +
         value_options(description) +
         ") ;; *) commands+=\" ${words[i]}\" ;; esac ;;\n"
         "    esac\n"
         "  done\n"
         "  commands=${commands# }\n"
         "  case $commands in\n" +
         cases +
         "  esac\n"
         "  _describe " +
         quoted(name) +
         " candidates || _files\n"
         "}\n" +
         // Sourced, it registers itself; found in fpath, it is called.
         "if [ \"$funcstack[1]\" = " + quoted(function) + " ]; then " + function +
         " \"$@\"; else compdef " + function + " " + name + "; fi\n";
}

}  // namespace walvault
