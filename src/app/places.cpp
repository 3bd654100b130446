#include "app/places.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include "app/log.h"
#include "base/error.h"
#include "base/file.h"
#include "base/place.h"
#include "datadir/data_directory.h"

namespace walvault {
namespace {

// For the file system of one directory.
constexpr std::chrono::seconds look_patience{5};

// Another way round for people: "it lies in", "it is", "it holds".
std::string words_of(Overlap relation) {
  switch (relation) {
    case Overlap::none: return "is apart from";
    case Overlap::same: return "is";
    case Overlap::inside: return "lies in";
    case Overlap::around: return "holds";
  }
  return {};
}

std::string shown(const NamedPlace& named, const Place& place) {
  const auto text = "\"" + named.path + "\"";
  return place.real_path() == named.path ? text : text + " (really \"" + place.real_path() + "\")";
}

Error not_apart(const NamedPlace& first, const Place& first_place, Overlap relation,
                const NamedPlace& second, const Place& second_place) {
  return {ErrorKind::conflict, first.what + " " + words_of(relation) + " " + second.what,
          first.what + ": " + shown(first, first_place) + "; " + second.what + ": " +
              shown(second, second_place) + ". What is done to one would be done to the other.",
          "Choose a directory for each that shares nothing with the other, best on another disk."};
}

void expect_outside_of_servers(const NamedPlace& repository, const Place& place) {
  for (const auto& above : place.real_paths_above()) {
    const bool is_itself = above == place.real_path();
    const auto name = above.substr(above.find_last_of('/') + 1);
    if (!is_data_directory(above) && (is_itself || !is_tablespace_version(name))) continue;
    throw Error(ErrorKind::conflict, repository.what + " lies in a PostgreSQL directory",
                repository.what + ": " + shown(repository, place) + "; \"" + above +
                    "\" is PostgreSQL's. A restore in place of it would delete its own backups.",
                "Put the repository elsewhere, best on another disk.");
  }
}

// Where a path really is; nullopt: its file system does not answer.
std::optional<Place> look_at(const std::string& path) {
  struct Answer {
    std::mutex mutex;
    std::condition_variable given;
    std::optional<Place> place;
  };
  // Shared with a thread that may outlive this call: one that waits for a dead mount cannot be
  // ended, and waiting for it would be to wait as long.
  const auto answer = std::make_shared<Answer>();
  std::thread([answer, path] {
    Place place(path);
    const std::lock_guard lock(answer->mutex);
    answer->place = std::move(place);
    answer->given.notify_one();
  }).detach();
  std::unique_lock lock(answer->mutex);
  answer->given.wait_for(lock, look_patience, [&] { return answer->place.has_value(); });
  return answer->place;
}

// With where they really are. Whether one whose disk does not answer overlaps with anything is
// not known.
std::vector<std::pair<NamedPlace, Place>> looked_at(const std::vector<NamedPlace>& named) {
  std::vector<std::pair<NamedPlace, Place>> places;
  for (const auto& each : named) {
    if (auto place = look_at(each.path)) {
      places.emplace_back(each, std::move(*place));
    } else {
      log_warning(each.what + " \"" + each.path +
                  "\" does not answer, so it is not compared with other directories");
    }
  }
  return places;
}

// Whether one repository is another one, or lies in one.
void expect_repositories_distinct(const Config& config) {
  const auto places = looked_at(repository_places(config));
  for (std::size_t i = 0; i < places.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      const auto relation = overlap(places[i].second, places[j].second);
      // One of the file's may be asked for by another name of its directory.
      const bool is_asked_for = config.repository_asked && j == 0;
      if (relation == Overlap::none || (is_asked_for && relation == Overlap::same)) continue;
      throw not_apart(places[i].first, places[i].second, relation, places[j].first,
                      places[j].second);
    }
  }
}

}  // namespace

std::vector<NamedPlace> repository_places(const Config& config) {
  std::vector<NamedPlace> places;
  const auto add = [&](const std::string& what, const RepositoryConfig& repository) {
    if (repository.url.empty() || repository.is_remote()) return;
    const auto path = directory_of(repository.url);
    const bool is_known =
        std::ranges::any_of(places, [&](const NamedPlace& known) { return known.path == path; });
    if (!is_known) places.push_back({.what = what, .path = path});
  };
  if (config.repository_asked) add("the repository", config.repository());
  add("[repository]", config.first_repository);
  for (const auto& [number, repository] : config.further_repositories) {
    add("[repository." + std::to_string(number) + "]", repository);
  }
  return places;
}

std::vector<NamedPlace> server_places(const std::string& data_directory) {
  std::vector<NamedPlace> places{
      {.what = "the data directory", .path = data_directory},
      {.what = "the place of segments fetched ahead", .path = data_directory + ".walvault-spool"},
      {.what = "the place of notes of what is archived",
       .path = data_directory + ".walvault-archived"}};
  // A link is followed by what looks at the place.
  places.push_back({.what = "its pg_wal", .path = data_directory + "/pg_wal"});
  try {
    for (const auto& location : tablespaces_in(data_directory)) {
      places.push_back({.what = "a tablespace", .path = location});
    }
  } catch (const Error& error) {
    // Another user's data directory: what it links to is not known.
    if (error.kind() != ErrorKind::unavailable) throw;
  }
  return places;
}

void expect_repositories_apart(const Config& config, const std::vector<NamedPlace>& others) {
  const auto other_places = looked_at(others);
  for (const auto& [repository, place] : looked_at(repository_places(config))) {
    for (const auto& [other, other_place] : other_places) {
      const auto relation = overlap(place, other_place);
      if (relation == Overlap::none) continue;
      throw not_apart(repository, place, relation, other, other_place);
    }
  }
}

void expect_repositories_sound(const Config& config) {
  for (const auto& [repository, place] : looked_at(repository_places(config))) {
    expect_outside_of_servers(repository, place);
  }
  expect_repositories_distinct(config);
}

void expect_server_apart(const Config& config, const std::optional<std::string>& data_directory) {
  if (!data_directory || !data_directory->starts_with('/')) return;
  struct stat status {};
  // Its owner may keep it from us: then the name tells.
  if (::stat(data_directory->c_str(), &status) != 0 && errno != EACCES) return;
  expect_repositories_apart(config, server_places(*data_directory));
}

}  // namespace walvault
