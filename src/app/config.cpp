#include "app/config.h"

#include <toml++/toml.h>
#include <algorithm>
#include <array>
#include <cstdlib>
#include <thread>

#include "base/error.h"
#include "base/file.h"
#include "base/format.h"

namespace walvault {
namespace {

constexpr const char* default_path = "/etc/walvault/walvault.toml";

constexpr std::array<std::string_view, 4> sections = {"repository", "defaults", "cluster", "fetch"};
constexpr std::array<std::string_view, 3> repository_keys = {"url", "compression",
                                                             "wal_compression"};
constexpr std::array<std::string_view, 1> defaults_keys = {"jobs"};
constexpr std::array<std::string_view, 10> cluster_keys = {
    "pg",          "expire",       "keep_last",   "keep_for", "keep_daily",
    "keep_weekly", "keep_monthly", "keep_yearly", "window",   "minimum_backups"};
constexpr std::array<std::string_view, 2> fetch_keys = {"retry_for", "prefetch"};

Error bad_config(const std::string& path, std::string detail, std::string hint = {}) {
  if (hint.empty()) hint = "docs/walvault.example.toml shows every key.";
  return {ErrorKind::usage, "the configuration file \"" + path + "\" is not understood",
          std::move(detail), std::move(hint)};
}

template <std::size_t N>
void check_keys(const std::string& path, const std::string& where, const toml::table& table,
                const std::array<std::string_view, N>& known) {
  for (const auto& [key, value] : table) {
    const std::string_view name = key.str();
    if (std::ranges::find(known, name) != known.end()) continue;
    const auto near = nearest_word(name, known);
    throw bad_config(path,
                     "Line " + std::to_string(value.source().begin.line) + ": the key \"" +
                         std::string(name) + "\" in " + where + " is not known.",
                     near ? "Did you mean \"" + *near + "\"?" : "");
  }
}

// The table under `key`; nullptr when there is none.
const toml::table* section(const std::string& path, const toml::table& root,
                           const std::string& key) {
  const auto* node = root.get(key);
  if (node == nullptr) return nullptr;
  if (!node->is_table()) throw bad_config(path, "\"" + key + "\" is not a section.");
  return node->as_table();
}

// nullopt: the key is not there.
std::optional<unsigned> number(const std::string& path, const toml::table& table,
                               const std::string& section_name, const std::string& key,
                               std::int64_t least, std::int64_t most) {
  const auto* const node = table.get(key);
  if (node == nullptr) return std::nullopt;
  const auto value = node->value<std::int64_t>();
  if (!node->is_integer() || !value || *value < least || *value > most) {
    throw bad_config(path, section_name + " " + key + " wants a number from " +
                               std::to_string(least) + " to " + std::to_string(most) + ".");
  }
  return static_cast<unsigned>(*value);
}

std::optional<std::string> text(const std::string& path, const toml::table& table,
                                const std::string& key) {
  const auto* node = table.get(key);
  if (node == nullptr) return std::nullopt;
  if (!node->is_string()) {
    throw bad_config(path, "Line " + std::to_string(node->source().begin.line) + ": \"" + key +
                               "\" wants a text in quotes.");
  }
  return node->as_string()->get();
}

bool flag(const std::string& path, const toml::table& table, const std::string& key) {
  const auto* const node = table.get(key);
  if (node == nullptr) return false;
  if (!node->is_boolean()) throw bad_config(path, "\"" + key + "\" wants true or false.");
  return node->as_boolean()->get();
}

ClusterConfig cluster_of(const std::string& path, const std::string& where,
                         const toml::table& table) {
  check_keys(path, where, table, cluster_keys);
  ClusterConfig cluster;
  cluster.pg = text(path, table, "pg");
  cluster.expire = flag(path, table, "expire");
  auto& retention = cluster.retention;
  const auto count = [&](const std::string& key, unsigned& target, std::int64_t least) {
    if (const auto value = number(path, table, where, key, least, keep_max)) target = *value;
  };
  count("keep_last", retention.keep_last, 0);
  count("keep_daily", retention.keep_daily, 0);
  count("keep_weekly", retention.keep_weekly, 0);
  count("keep_monthly", retention.keep_monthly, 0);
  count("keep_yearly", retention.keep_yearly, 0);
  count("minimum_backups", retention.minimum_backups, 1);
  const auto duration = [&](const std::string& key, auto& target) {
    if (const auto value = text(path, table, key))
      target = parse_duration(*value, where + " " + key);
  };
  duration("keep_for", retention.keep_for);
  duration("window", retention.window);
  return cluster;
}

void take_from_environment(std::optional<std::string>& option, const char* name) {
  const char* value = std::getenv(name);
  if (!option && value != nullptr && *value != '\0') option = value;
}

void read_file_into(Config& config) {
  const auto content = read_file(config.path, 1u << 20);
  toml::table root;
  try {
    root = toml::parse(as_text(content), config.path);
  } catch (const toml::parse_error& error) {
    throw bad_config(config.path, "Line " + std::to_string(error.source().begin.line) + ": " +
                                      std::string(error.description()) + ".");
  }
  check_keys(config.path, "the file", root, sections);
  if (const auto* table = section(config.path, root, "repository")) {
    check_keys(config.path, "[repository]", *table, repository_keys);
    config.repository_url = text(config.path, *table, "url");
    if (const auto value = text(config.path, *table, "compression")) {
      config.data_compression = parse_compression(*value, "[repository] compression");
    }
    if (const auto value = text(config.path, *table, "wal_compression")) {
      config.wal_compression = parse_compression(*value, "[repository] wal_compression");
    }
  }
  if (const auto* table = section(config.path, root, "defaults")) {
    check_keys(config.path, "[defaults]", *table, defaults_keys);
    if (const auto jobs = number(config.path, *table, "[defaults]", "jobs", 1, 256)) {
      config.jobs = *jobs;
    }
  }
  if (const auto* table = section(config.path, root, "fetch")) {
    check_keys(config.path, "[fetch]", *table, fetch_keys);
    if (const auto value = text(config.path, *table, "retry_for")) {
      (void)parse_duration(*value, "[fetch] retry_for");
      config.fetch_retry_for = *value;
    }
    const auto ahead = number(config.path, *table, "[fetch]", "prefetch", 0, prefetch_max);
    if (ahead) config.fetch_prefetch = *ahead;
  }
  if (const auto* table = section(config.path, root, "cluster")) {
    for (const auto& [key, value] : *table) {
      const std::string name(key.str());
      if (!value.is_table()) {
        throw bad_config(config.path, "\"cluster." + name + "\" is not a section.");
      }
      config.clusters[name] = cluster_of(config.path, "[cluster." + name + "]", *value.as_table());
    }
  }
}

}  // namespace

Config load_config(const GlobalOptions& given) {
  // The command line beats the environment, which beats the file.
  auto options = given;
  take_from_environment(options.config, "WALVAULT_CONFIG");
  take_from_environment(options.repo, "WALVAULT_REPO");
  take_from_environment(options.cluster, "WALVAULT_CLUSTER");
  Config config;
  if (options.config) {
    if (!find_status(*options.config)) {
      throw Error(ErrorKind::usage,
                  "the configuration file \"" + *options.config + "\" does not exist", {},
                  "Check --config and the environment variable WALVAULT_CONFIG.");
    }
    config.path = *options.config;
  } else if (find_status(default_path)) {
    config.path = default_path;
  }
  if (!config.path.empty()) read_file_into(config);
  if (options.repo) config.repository_url = options.repo;
  config.cluster_asked = options.cluster;
  return config;
}

std::string Config::repository() const {
  if (repository_url) return *repository_url;
  throw Error(ErrorKind::usage, "no repository is named", {},
              "Give --repo URL, set WALVAULT_REPO, or put url into [repository] of the "
              "configuration file.");
}

std::string Config::cluster() const {
  if (cluster_asked) return *cluster_asked;
  if (clusters.size() == 1) return clusters.begin()->first;
  std::string names;
  for (const auto& [name, cluster] : clusters) names += (names.empty() ? "" : ", ") + name;
  throw Error(ErrorKind::usage, "no cluster is named",
              clusters.empty() ? "The configuration file has no [cluster.NAME] section."
                               : "The configuration file has several: " + names + ".",
              "Give --cluster NAME or set WALVAULT_CLUSTER.");
}

ClusterConfig Config::of_cluster(const std::string& name) const {
  const auto it = clusters.find(name);
  return it == clusters.end() ? ClusterConfig{} : it->second;
}

unsigned Config::worker_threads() const {
  return jobs != 0 ? jobs : std::max(1u, std::thread::hardware_concurrency());
}

}  // namespace walvault
