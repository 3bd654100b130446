#include "app/places.h"

#include <algorithm>
#include <utility>

#include "app/log.h"
#include "base/error.h"
#include "base/file.h"
#include "base/place.h"
#include "datadir/data_directory.h"

namespace walvault {
namespace {

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

// Whether the directory is a cluster's, or a tablespace's of one.
bool is_of_a_server(const std::string& directory) {
  if (is_data_directory(directory)) return true;
  const auto name = directory.substr(directory.find_last_of('/') + 1);
  return is_tablespace_version(name);
}

void expect_outside_of_servers(const NamedPlace& repository, const Place& place) {
  for (const auto& above : place.real_paths_above()) {
    if (!is_of_a_server(above)) continue;
    throw Error(ErrorKind::conflict, repository.what + " lies in a PostgreSQL directory",
                repository.what + ": " + shown(repository, place) + "; \"" + above +
                    "\" is PostgreSQL's. A restore in place of it would delete its own backups.",
                "Put the repository elsewhere, best on another disk.");
  }
}

// With where they really are. Whether one that is away, or hangs, overlaps with anything is
// not known: no restore fails because of that.
std::vector<std::pair<NamedPlace, Place>> looked_at(const std::vector<NamedPlace>& named) {
  std::vector<std::pair<NamedPlace, Place>> places;
  for (const auto& each : named) {
    try {
      places.emplace_back(each, Place(each.path));
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::unavailable) throw;
      log_warning("where " + each.what + " lies cannot be looked at: " + error.message() + ": " +
                  error.detail());
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
  for (const auto& location : tablespaces_in(data_directory)) {
    places.push_back({.what = "a tablespace", .path = location});
  }
  return places;
}

void expect_repositories_apart(const Config& config, const std::vector<NamedPlace>& others) {
  for (const auto& [repository, place] : looked_at(repository_places(config))) {
    expect_outside_of_servers(repository, place);
    for (const auto& other : others) {
      const Place other_place(other.path);
      const auto relation = overlap(place, other_place);
      if (relation == Overlap::none) continue;
      throw not_apart(repository, place, relation, other, other_place);
    }
  }
}

void expect_repositories_sound(const Config& config) {
  expect_repositories_apart(config, {});
  expect_repositories_distinct(config);
}

void expect_server_apart(const Config& config, const std::optional<std::string>& data_directory) {
  if (!data_directory || !data_directory->starts_with('/') || !find_status(*data_directory)) return;
  expect_repositories_apart(config, server_places(*data_directory));
}

}  // namespace walvault
