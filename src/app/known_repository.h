// Which repository this machine found at a place: so that an old one that lies beneath a file
// system which is not mounted, or one that somebody put there, is not taken for it.
#pragma once

#include <optional>
#include <string>

#include "app/config.h"
#include "repository/repository.h"
#include "storage/decorators/local_cache.h"

namespace walvault {

// One for each user, in the state directory. What cannot be read or written there is not known,
// and that is never a conflict: nothing here throws.
class KnownRepository {
 public:
  KnownRepository(const Config& config, const RepositoryConfig& place);

  // nullopt: none is known.
  [[nodiscard]] std::optional<std::string> id() const;
  void remember(const std::string& id) const;
  void forget() const;

  // Where it is remembered.
  [[nodiscard]] std::string path() const { return state_.path(); }

 private:
  LocalCache state_;
};

// Opens what `storage` holds, which lies at that place, and remembers the first that is found
// there. Error{conflict} where another one is known, Error{unavailable} where one is known and
// none is there: nothing is ever written then.
[[nodiscard]] Repository open_known(const Config& config, const RepositoryConfig& place,
                                    Storage& storage);

// The word of an operator: what is there now is what is known from now on. Returns its id;
// nullopt: nothing is there. Error{unavailable} where it cannot be remembered.
[[nodiscard]] std::optional<std::string> accept_repository(const Config& config,
                                                           const RepositoryConfig& place,
                                                           RandomId writer);

// Where it lies when nothing is said: below $XDG_STATE_HOME, else /var/lib/walvault for root and
// below the home of others; empty where there is none.
[[nodiscard]] std::string default_state_directory();

}  // namespace walvault
