#include "archiving/further_archives.h"

#include <algorithm>
#include <limits>

#include "app/open_repository.h"
#include "base/error.h"

namespace walvault {
namespace {

// For one that need not be there the archiver does not stand still.
constexpr std::chrono::seconds patience_when_not_required{5};

// That a place did not answer, in the cache.
constexpr std::string_view out_of_reach = "out of reach";

// What fails at once is tried with each segment.
constexpr std::chrono::milliseconds worth_remembering{1000};

}  // namespace

FurtherArchives::FurtherArchives(const Config& config, RandomId writer, ClusterIdentity identity)
    : config_(config), writer_(writer), identity_(std::move(identity)) {
  for (const auto& [number, place] : config.archived_beside()) {
    places_.push_back({.number = number, .config = place});
  }
}

bool FurtherArchives::is_absent(Place& place) {
  if (place.config.required) return false;
  const std::lock_guard lock(mutex_);
  // Each segment would wait for it otherwise.
  if (place.absent.empty() && !place.opened &&
      cache_of(config_, place.config).find_recent(out_of_reach, std::chrono::seconds(60))) {
    place.absent = "it did not answer less than a minute ago";
  }
  return !place.absent.empty();
}

OpenRepository FurtherArchives::open(const Place& place) const {
  if (place.config.required) return open_repository(config_, place.config, writer_);
  try {
    return open_repository(config_, place.config, writer_, Patience(patience_when_not_required));
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::conflict && error.kind() != ErrorKind::corrupt) throw;
    // Another one at its place, or one that is damaged: as if it were away, which archiving may go
    // on without.
    throw Error(ErrorKind::unavailable, error.message(), error.detail(), error.hint());
  }
}

const WalArchive& FurtherArchives::archive_of(Place& place) {
  const std::lock_guard lock(mutex_);
  if (!place.opened) {
    auto repository = open(place);
    const auto there = get_cluster(repository.repository, identity_.name, ErrorKind::conflict);
    if (there.system_identifier != identity_.system_identifier ||
        there.postgres_major != identity_.postgres_major || there.geometry != identity_.geometry) {
      throw Error(ErrorKind::conflict,
                  "the name " + identity_.name + " means another cluster there",
                  "Its system identifier is " + std::to_string(there.system_identifier) + ", " +
                      std::to_string(identity_.system_identifier) + " in the first repository.",
                  "After pg_upgrade: walvault copy brings the registration. Else give this "
                  "cluster another repository.");
    }
    place.opened = std::make_unique<Place::Opened>(std::move(repository), there);
  }
  return place.opened->archive;
}

void FurtherArchives::give_up(Place& place, const Error& error, std::chrono::milliseconds took) {
  const std::lock_guard lock(mutex_);
  if (!place.absent.empty()) return;
  place.absent = one_line(error);
  if (error.kind() == ErrorKind::unavailable && took >= worth_remembering) {
    cache_of(config_, place.config).keep(out_of_reach, {});
  }
}

bool FurtherArchives::lacks_one() {
  return std::ranges::any_of(places_, [this](Place& place) { return is_absent(place); });
}

unsigned FurtherArchives::segment_uploads() const {
  auto uploads = std::numeric_limits<unsigned>::max();
  for (const auto& place : places_) {
    uploads = std::min(uploads, place.config.profile().segment_uploads);
  }
  return uploads;
}

bool FurtherArchives::each(const PushOptions::DoIn& what) {
  bool everywhere = true;
  for (auto& place : places_) {
    if (is_absent(place)) {
      everywhere = false;
      continue;
    }
    const auto began = std::chrono::steady_clock::now();
    try {
      what(archive_of(place));
    } catch (const Error& error) {
      const bool is_out_of_reach =
          error.kind() == ErrorKind::unavailable || error.kind() == ErrorKind::not_found;
      if (!place.config.required && is_out_of_reach) {
        everywhere = false;
        give_up(place, error,
                std::chrono::duration_cast<std::chrono::milliseconds>(
                    std::chrono::steady_clock::now() - began));
        continue;
      }
      throw Error(error.kind(),
                  "in repository " + std::to_string(place.number) + ", " + place.config.url + ": " +
                      error.message(),
                  error.detail(),
                  !is_out_of_reach ? error.hint()
                                   : error.hint() + (error.hint().empty() ? "" : " ") +
                                         "Where archiving may go on without it: required = false "
                                         "in [repository." +
                                         std::to_string(place.number) + "].");
    }
  }
  return everywhere;
}

std::vector<FurtherArchives::Absence> FurtherArchives::absences() const {
  const std::lock_guard lock(mutex_);
  std::vector<Absence> absences;
  for (const auto& place : places_) {
    if (place.absent.empty()) continue;
    absences.push_back({.number = place.number, .url = place.config.url, .why = place.absent});
  }
  return absences;
}

}  // namespace walvault
