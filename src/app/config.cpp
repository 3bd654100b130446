#include "app/config.h"

#include <algorithm>
#include <cstdlib>
#include <thread>

#include "app/config_keys.h"
#include "app/storage_registry.h"
#include "base/error.h"
#include "base/file.h"
#include "base/format.h"

namespace walvault {
namespace {

constexpr const char* default_path = "/etc/walvault/walvault.toml";

void take_from_environment(std::optional<std::string>& option, const char* name) {
  const char* value = std::getenv(name);
  if (!option && value != nullptr && *value != '\0') option = value;
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
  if (!config.path.empty()) read_config_file(config);
  config.repository_asked = options.repo;
  config.cluster_asked = options.cluster;
  return config;
}

StorageProfile Config::profile() const {
  const bool is_named = repository_asked || !first_repository.url.empty();
  return is_named ? repository().profile() : directory_profile;
}

RepositoryConfig Config::repository() const {
  if (repository_asked) return repository_at(*repository_asked, first_repository);
  if (!first_repository.url.empty()) return first_repository;
  throw Error(ErrorKind::usage, "no repository is named", {},
              "Give --repo URL, set WALVAULT_REPO, or put url into [repository] of the "
              "configuration file.");
}

namespace {

// Whether a section means the place of that URL: with what it says of its store.
bool is_place(const RepositoryConfig& section, const std::string& url) {
  if (section.url.empty() || &scheme_of(section.url) != &scheme_of(url)) return false;
  auto asked = section;
  asked.url = url;
  return asked.place() == section.place();
}

}  // namespace

RepositoryConfig Config::repository_at(const std::string& url,
                                       const RepositoryConfig& defaults) const {
  if (url == "1" && !first_repository.url.empty()) return first_repository;
  const auto number = repository_number(url);
  if (number || url == "1") {
    const auto it = further_repositories.find(number.value_or(1));
    if (it != further_repositories.end()) return it->second;
    throw Error(ErrorKind::usage, "the configuration file has no repository " + url, {},
                url == "1" ? "Put url into [repository]."
                           : "Put a section [repository." + url + "] with its url into it.");
  }
  if (is_place(first_repository, url)) return first_repository;
  for (const auto& [each, place] : further_repositories) {
    if (is_place(place, url)) return place;
  }
  auto place = defaults;
  place.url = url;
  return place;
}

std::string Config::repository_text() const {
  return repository_asked && (repository_number(*repository_asked) || *repository_asked == "1")
             ? *repository_asked
             : repository().url;
}

std::map<unsigned, RepositoryConfig> Config::archived_beside() const {
  std::map<unsigned, RepositoryConfig> beside;
  if (further_repositories.empty() || leaves_others_out()) return beside;
  const auto own = repository().place();
  if (!first_repository.url.empty()) beside.emplace(1, first_repository);
  beside.insert(further_repositories.begin(), further_repositories.end());
  std::erase_if(beside, [&](const auto& each) { return each.second.place() == own; });
  return beside;
}

bool Config::leaves_others_out() const {
  if (further_repositories.empty() || first_repository.url.empty()) return false;
  const auto own = repository().place();
  return own != first_repository.place() &&
         std::ranges::none_of(further_repositories,
                              [&](const auto& each) { return each.second.place() == own; });
}

std::string directory_of(const std::string& url) {
  std::string path = url;
  if (path.starts_with("file://")) path.erase(0, 7);
  if (!path.starts_with('/')) {
    const auto scheme = path.find("://");
    const auto shown = url.find('@') == std::string::npos ? url : url.substr(0, scheme) + "...";
    throw Error(ErrorKind::usage, "\"" + shown + "\" is not a repository",
                scheme == std::string::npos
                    ? "A repository on a directory is named by its absolute path."
                    : "The scheme \"" + path.substr(0, scheme) + "\" is not known.",
                "Write /path/to/repository, file:///path/to/repository or s3://BUCKET/PREFIX.");
  }
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return path;
}

const StorageProfile& RepositoryConfig::profile() const { return scheme_of(url).profile; }

std::string RepositoryConfig::place() const { return scheme_of(url).place(*this); }

std::string Config::cluster() const {
  if (cluster_asked) return *cluster_asked;
  if (clusters.size() == 1) return clusters.begin()->first;
  const auto names = list_of(clusters, [](const auto& each) { return each.first; });
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
  if (jobs != 0) return jobs;
  const auto processors = std::max(1u, std::thread::hardware_concurrency());
  return std::max(processors, profile().threads_min);
}

unsigned Config::worker_threads(const std::optional<std::string>& asked) const {
  if (!asked) return worker_threads();
  return static_cast<unsigned>(parse_number(*asked, "--jobs", 1, jobs_max));
}

unsigned Config::segments_ahead() const { return archive_ahead.value_or(profile().segments_ahead); }

unsigned Config::segments_prefetched() const {
  return fetch_prefetch.value_or(profile().segments_prefetched);
}

}  // namespace walvault
