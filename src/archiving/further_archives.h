// The repositories beside the first one, [repository.2] and so on, in which a segment is
// stored too before it counts as archived.
#pragma once

#include <chrono>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "app/config.h"
#include "app/open_repository.h"
#include "archiving/push.h"

namespace walvault {

// Thread-safe.
class FurtherArchives {
 public:
  // `identity`: of the cluster in the first repository.
  FurtherArchives(const Config& config, RandomId writer, ClusterIdentity identity);

  // Does it in each, one after another. Error where a required one fails, and where one has
  // other content. One that is not required and cannot be reached is left out from then on;
  // `absences` tells. False: it was not done in all of them.
  [[nodiscard]] bool each(const PushOptions::DoIn& what);

  // How many segments all of them take at once.
  [[nodiscard]] unsigned segment_uploads() const;

  // Whether one is known to be out of reach: then nothing is archived ahead, since nothing
  // of that would be noted.
  [[nodiscard]] bool lacks_one();

  struct Absence {
    unsigned number = 0;
    std::string url;
    std::string why;
  };
  [[nodiscard]] std::vector<Absence> absences() const;

 private:
  struct Place {
    unsigned number = 0;
    RepositoryConfig config;
    struct Opened {
      Opened(OpenRepository opened, ClusterIdentity identity)
          : repository(std::move(opened)), archive(repository.repository, std::move(identity)) {}
      OpenRepository repository;
      WalArchive archive;
    };
    std::unique_ptr<Opened> opened = {};
    std::string absent = {};  // why; empty: it is not, so far
  };
  [[nodiscard]] OpenRepository open(const Place& place) const;
  [[nodiscard]] const WalArchive& archive_of(Place& place);
  [[nodiscard]] bool is_absent(Place& place);
  void give_up(Place& place, const Error& error, std::chrono::milliseconds took);

  const Config& config_;
  const RandomId writer_;
  const ClusterIdentity identity_;
  mutable std::mutex mutex_;
  std::list<Place> places_;
};

}  // namespace walvault
