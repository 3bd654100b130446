// From the configuration to a repository.
#pragma once

#include <chrono>
#include <memory>
#include <optional>

#include "app/config.h"
#include "app/storage_registry.h"
#include "base/clock.h"
#include "repository/repository.h"
#include "storage/decorators/local_cache.h"
#include "storage/storage.h"

namespace walvault {

// The storage at a place, with retries around it: for as long as the configuration
// says, or for `patience`. Error{usage} for a URL of an unknown scheme or a relative
// path, and for an object store whose settings are wrong.
[[nodiscard]] std::unique_ptr<Storage> open_storage(const Config& config,
                                                    const RepositoryConfig& place, RandomId writer,
                                                    Patience patience = {},
                                                    Caching caching = Caching::none);

// Likewise that of the configured repository, and makes the directory of a new one.
[[nodiscard]] std::unique_ptr<Storage> create_storage(const Config& config, RandomId writer);

// What is remembered of a place on this machine.
[[nodiscard]] LocalCache cache_of(const Config& config, const RepositoryConfig& place);

// Where a cache lies when nothing is said: below $XDG_CACHE_HOME, else /var/cache/walvault for
// root and below the home of others; empty where there is none.
[[nodiscard]] std::string default_cache_directory();

// A repository together with the storage that it lives in. Errors of open_known, too
// (app/known_repository.h).
struct OpenRepository {
  std::unique_ptr<Storage> storage;
  Repository repository;
};
[[nodiscard]] OpenRepository open_repository(const Config& config, const RepositoryConfig& place,
                                             RandomId writer, Patience patience = {},
                                             Caching caching = Caching::none);

}  // namespace walvault
