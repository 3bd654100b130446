#include "app/config_keys.h"

#include <algorithm>
#include <array>
#include <map>

#include "app/config_table.h"
#include "base/error.h"
#include "base/file.h"
#include "base/format.h"

namespace walvault {
namespace {

constexpr std::uint64_t file_bytes_max = 1u << 20;

constexpr std::string_view further_help =
    "A further repository, up to [repository.9]. Each segment is archived in every required "
    "repository before it counts as archived. --repo 2 names this one, and walvault copy brings "
    "it the backups, and WAL that it does not have. It has the keys of [repository], except those "
    "for compression and differences. docs/operations.md, \"Off-site copies\".";
constexpr std::string_view cache_help =
    "What an object store said is remembered here: backup roots, ledgers, and for a minute which "
    "cluster a name means and which branches its timelines have. It can be deleted at any time, "
    "and several processes can use it; each user has a part of it.";
constexpr std::string_view state_help =
    "What this machine has to know is kept here: which repository it found at a place. If another "
    "one, or none, is there later, nothing is written to it until walvault check "
    "--accept-repository. Each user has a part of it. If it is lost, what is found first is "
    "remembered again.";
constexpr std::string_view cluster_help =
    "A section for each database cluster. If there is only one, --cluster can be left out. A name "
    "consists of lower-case letters, digits, '-' and '_'.";

// ---- Reading

template <typename Target>
const Key<Target>* find_key(Keys<Target> keys, std::string_view name) {
  const auto it =
      std::ranges::find_if(keys, [&](const Key<Target>& key) { return key.text.name == name; });
  return it == keys.end() ? nullptr : &*it;
}

Error unknown_key(const std::string& path, const TomlSection& section, const std::string& name,
                  unsigned line, const std::vector<std::string_view>& known) {
  const auto near = nearest_word(name, known);
  return bad_config(path,
                    "Line " + std::to_string(line) + ": the key \"" + name + "\" in " +
                        section.name + " is not known.",
                    near ? "Did you mean \"" + *near + "\"?" : "");
}

template <typename... Targets>
std::vector<std::string_view> names_of(Keys<Targets>... keys) {
  std::vector<std::string_view> names;
  const auto add = [&](const auto& some) {
    for (const auto& key : some) names.push_back(key.text.name);
  };
  (add(keys), ...);
  return names;
}

// Those of the section's values that are keys of this target; `known`: all that it may have.
template <typename Target>
void read_keys(const std::string& path, const TomlSection& section, Keys<Target> keys,
               Target& target) {
  for (const auto& [name, value] : section.values) {
    const auto* const key = find_key(keys, name);
    if (key != nullptr) key->read(target, KeyReader(path, section, name, value));
  }
}

void expect_known(const std::string& path, const TomlSection& section,
                  const std::vector<std::string_view>& known) {
  for (const auto& [name, value] : section.values) {
    if (std::ranges::find(known, name) == known.end()) {
      throw unknown_key(path, section, name, value.line, known);
    }
  }
}

void expect_no_sections(const std::string& path, const TomlSection& section,
                        const std::vector<std::string_view>& known) {
  for (const auto& [name, inner] : section.sections) {
    throw unknown_key(path, section, name, inner.line, known);
  }
}

template <typename Target>
void read_section(const std::string& path, const TomlSection& section, Keys<Target> keys,
                  Target& target) {
  const auto known = names_of(keys);
  expect_known(path, section, known);
  expect_no_sections(path, section, known);
  read_keys(path, section, keys, target);
}

RepositoryConfig read_further(const std::string& path, const TomlSection& section) {
  const auto known = names_of(place_keys(), further_keys());
  expect_known(path, section, known);
  expect_no_sections(path, section, known);
  RepositoryConfig place;
  read_keys(path, section, place_keys(), place);
  read_keys(path, section, further_keys(), place);
  if (place.url.empty()) throw bad_config(path, section.name + " has no url.");
  return place;
}

// No two sections may mean one place.
void expect_different_places(const Config& config) {
  if (config.further_repositories.empty()) return;
  std::map<std::string, std::string> places;
  const auto add = [&](const RepositoryConfig& place, const std::string& where) {
    if (place.url.empty()) return;
    if (place.is_remote() && place.mode != RepositoryConfig().mode) {
      throw bad_config(config.path, where + " has a mode, which is for directories.");
    }
    const auto [other, is_new] = places.emplace(place.place(), where);
    if (!is_new) {
      throw bad_config(config.path, where + " is the same place as " + other->second + ".");
    }
  };
  add(config.first_repository, "[repository]");
  for (const auto& [number, place] : config.further_repositories) {
    add(place, "[repository." + std::to_string(number) + "]");
  }
}

void read_repositories(const TomlSection& section, Config& config) {
  const auto& path = config.path;
  const auto known = names_of(place_keys(), content_keys());
  for (const auto& [name, value] : section.values) {
    if (!repository_number(name)) continue;
    throw bad_config(path, "[repository." + std::string(name) + "] is not a section.");
  }
  expect_known(path, section, known);
  for (const auto& [name, further] : section.sections) {
    const auto number = repository_number(name);
    if (!number) throw unknown_key(path, section, name, further.line, known);
    config.further_repositories.emplace(*number, read_further(path, further));
  }
  read_keys(path, section, place_keys(), config.first_repository);
  read_keys(path, section, content_keys(), config);
  expect_different_places(config);
}

void read_clusters(const TomlSection& section, Config& config) {
  for (const auto& [name, value] : section.values) {
    throw bad_config(config.path, "\"cluster." + name + "\" is not a section.");
  }
  for (const auto& [name, cluster] : section.sections) {
    read_section(config.path, cluster, cluster_keys(), config.clusters[name]);
  }
}

struct Section {
  std::string_view name;
  void (*read)(const TomlSection&, Config&);
};

constexpr std::array<Section, 7> sections = {{
    {"repository", read_repositories},
    {"cache", [](const TomlSection& section,
                 Config& config) { read_section(config.path, section, cache_keys(), config); }},
    {"state", [](const TomlSection& section,
                 Config& config) { read_section(config.path, section, state_keys(), config); }},
    {"defaults",
     [](const TomlSection& section, Config& config) {
       read_section(config.path, section, defaults_keys(), config);
     }},
    {"archive", [](const TomlSection& section,
                   Config& config) { read_section(config.path, section, archive_keys(), config); }},
    {"fetch", [](const TomlSection& section,
                 Config& config) { read_section(config.path, section, fetch_keys(), config); }},
    {"cluster", read_clusters},
}};

// ---- Texts

template <typename Target>
void add_texts(Keys<Target> keys, std::vector<ConfigKeyText>& texts) {
  for (const auto& key : keys) texts.push_back(key.text);
}

template <typename... Targets>
std::vector<ConfigKeyText> texts_of(Keys<Targets>... keys) {
  std::vector<ConfigKeyText> texts;
  (add_texts(keys, texts), ...);
  return texts;
}

// Lines of at most 92 columns, each behind `begin`.
std::string wrapped(std::string_view text, std::string_view begin) {
  constexpr std::size_t columns_max = 92;
  std::string lines;
  std::string line(begin);
  while (!text.empty()) {
    const auto word = text.substr(0, text.find(' '));
    text.remove_prefix(std::min(word.size() + 1, text.size()));
    if (line.size() > begin.size() && line.size() + 1 + word.size() > columns_max) {
      lines += line + "\n";
      line = begin;
    }
    if (line.size() > begin.size()) line += " ";
    line += word;
  }
  return lines + line + "\n";
}

std::string key_example(const ConfigKeyText& key) {
  std::string help(key.help);
  if (!key.fallback.empty()) help.append(" Default: ").append(key.fallback).append(".");
  auto text = wrapped(help, "# ");
  if (!key.is_shown) text += "# ";
  return text.append(key.name).append(" = ").append(key.example).append("\n");
}

}  // namespace

std::optional<unsigned> repository_number(std::string_view text) {
  if (text.size() != 1 || text.front() < '2' || text.front() > '9') return std::nullopt;
  return static_cast<unsigned>(text.front() - '0');
}

void read_config_file(Config& config) {
  const auto root = parse_toml(read_file(config.path, file_bytes_max), config.path);
  std::vector<std::string_view> known;
  known.reserve(sections.size());
  for (const auto& section : sections) known.push_back(section.name);
  for (const auto& [name, value] : root.values) {
    if (std::ranges::find(known, name) != known.end()) {
      throw bad_config(config.path, "\"" + name + "\" is not a section.");
    }
    throw unknown_key(config.path, root, name, value.line, known);
  }
  for (const auto& [name, section] : root.sections) {
    const auto it = std::ranges::find(sections, name, &Section::name);
    if (it == sections.end()) throw unknown_key(config.path, root, name, section.line, known);
    it->read(section, config);
  }
}

std::vector<ConfigSectionText> config_sections() {
  return {
      {"repository", "", texts_of(place_keys(), content_keys()), true},
      {"repository.2", further_help, texts_of(further_keys())},
      {"cache", cache_help, texts_of(cache_keys()), true},
      {"state", state_help, texts_of(state_keys()), true},
      {"defaults", "", texts_of(defaults_keys()), true},
      {"archive", "", texts_of(archive_keys()), true},
      {"fetch", "", texts_of(fetch_keys()), true},
      {"cluster.main", cluster_help, texts_of(cluster_keys()), true},
  };
}

std::string config_example() {
  std::string text =
      "# The configuration of walvault: every key and what it means.\n"
      "#\n"
      "# Read from --config FILE, else $WALVAULT_CONFIG, else /etc/walvault/walvault.toml.\n"
      "# A command-line option beats the environment (WALVAULT_REPO, WALVAULT_CLUSTER), which\n"
      "# beats this file. An unknown key is an error that names the nearest one.\n";
  for (const auto& section : config_sections()) {
    text += "\n";
    if (!section.help.empty()) text += wrapped(section.help, "# ");
    if (!section.is_shown) text += "# ";
    text.append("[").append(section.name).append("]\n");
    if (!section.is_shown) text += "# url = \"s3://company-off-site/postgres\"\n";
    bool is_first = true;
    for (const auto& key : section.keys) {
      if (!is_first) text += "\n";
      is_first = false;
      text += key_example(key);
    }
  }
  return text;
}

}  // namespace walvault
