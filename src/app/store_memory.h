// What was found out about an object store, kept on this machine below [cache] path:
// never trusted for longer than a day, safe to delete, safe with several processes.
#pragma once

#include <string>

#include "base/clock.h"

namespace walvault {

class StoreMemory {
 public:
  // `directory`: of the cache; empty for none. `place`: what tells one store from another.
  StoreMemory(const std::string& directory, const std::string& place);

  // For what the store said, beside these facts; empty: nothing is kept.
  [[nodiscard]] std::string answers_directory() const {
    return directory_.empty() ? "" : directory_ + "/answers";
  }

  enum class Fact {
    conditional_writes,  // it was seen to heed If-None-Match; for a day
    out_of_reach,        // it did not answer; for a minute
  };
  // False: that is not known.
  [[nodiscard]] bool knows(Fact fact, Timestamp now) const;
  // That it cannot be kept is no error.
  void keep(Fact fact) const;

 private:
  [[nodiscard]] std::string path_of(Fact fact) const;

  std::string cache_;
  std::string directory_;  // empty: nothing is kept
};

// Where a cache lies when nothing is said: /var/cache/walvault for root, else below
// $XDG_CACHE_HOME or $HOME; empty where there is neither.
[[nodiscard]] std::string default_cache_directory();

}  // namespace walvault
