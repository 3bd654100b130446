#include "app/places.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include "app/log.h"
#include "base/error.h"
#include "base/file.h"
#include "base/place.h"
#include "datadir/data_directory.h"

namespace walvault {
namespace {

// For all file systems that may be away together.
constexpr std::chrono::seconds look_patience{5};

// The repository that the command line names, which may be one of the file's.
const std::string asked = "the repository";

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
    if (!DataDirectory(above).is_of_a_cluster() && (is_itself || !is_tablespace_version(name)))
      continue;
    throw Error(ErrorKind::conflict, repository.what + " lies in a PostgreSQL directory",
                repository.what + ": " + shown(repository, place) + "; \"" + above +
                    "\" is PostgreSQL's. A restore in place of it would delete its own backups.",
                "Put the repository elsewhere, best on another disk.");
  }
}

// A look at a path by a thread of its own, which nobody waits for when it takes too long: one that
// waits for a dead mount cannot be ended.
class Look {
 public:
  explicit Look(const std::string& path) : answer_(std::make_shared<Answer>()) {
    std::thread([answer = answer_, path] {
      std::optional<Place> place;
      try {
        place.emplace(path);
      } catch (const std::exception&) {
        place.reset();  // not known
      }
      const std::lock_guard lock(answer->mutex);
      answer->place = std::move(place);
      answer->is_given = true;
      answer->given.notify_one();
    }).detach();
  }

  // nullopt: it did not come, or there is none.
  [[nodiscard]] std::optional<Place> wait_until(std::chrono::steady_clock::time_point deadline) {
    std::unique_lock lock(answer_->mutex);
    answer_->given.wait_until(lock, deadline, [&] { return answer_->is_given; });
    return answer_->place;
  }

 private:
  // Shared with the thread, which may outlive this.
  struct Answer {
    std::mutex mutex;
    std::condition_variable given;
    bool is_given = false;
    std::optional<Place> place;
  };
  std::shared_ptr<Answer> answer_;
};

// With where they really are. Whether one whose disk does not answer overlaps with anything is
// not known.
std::vector<std::pair<NamedPlace, Place>> looked_at(const std::vector<NamedPlace>& named) {
  std::vector<std::pair<NamedPlace, Place>> places;
  std::vector<std::pair<const NamedPlace*, Look>> looks;
  for (const auto& each : named) {
    if (each.may_be_away) {
      try {
        looks.emplace_back(&each, Look(each.path));
        continue;
      } catch (const std::system_error&) {
        // There is no room for a thread.
      }
    }
    places.emplace_back(each, Place(each.path));
  }
  const auto deadline = std::chrono::steady_clock::now() + look_patience;
  for (auto& [each, look] : looks) {
    if (auto place = look.wait_until(deadline)) {
      places.emplace_back(*each, std::move(*place));
    } else {
      log_warning(each->what + " \"" + each->path +
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
      const bool is_asked_for = places[j].first.what == asked || places[i].first.what == asked;
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
    const bool is_in_use = places.empty();
    if (!is_known) places.push_back({.what = what, .path = path, .may_be_away = !is_in_use});
  };
  // The one that the command works with comes first.
  if (config.repository_asked) add(asked, config.repository());
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
    for (const auto& location : DataDirectory(data_directory).tablespaces()) {
      places.push_back({.what = "a tablespace", .path = location, .may_be_away = true});
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
  // Another machine's may have the name of something here. What its owner keeps from us is
  // compared by its name.
  const bool may_look = ::access(data_directory->c_str(), X_OK) == 0 || errno != EACCES;
  if (may_look && !DataDirectory(*data_directory).is_of_a_cluster()) return;
  expect_repositories_apart(config, server_places(*data_directory));
}

}  // namespace walvault
