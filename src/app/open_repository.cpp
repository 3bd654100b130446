#include "app/open_repository.h"

#include "app/known_repository.h"
#include "app/user_directory.h"

namespace walvault {

LocalCache cache_of(const Config& config, const RepositoryConfig& place) {
  return {config.cache_path.value_or(default_cache_directory()), place.place(), config.cache_bytes,
          system_clock()};
}

std::string default_cache_directory() {
  return user_directory(
      {.variable = "XDG_CACHE_HOME", .of_root = "/var/cache/walvault", .below_home = ".cache"});
}

std::unique_ptr<Storage> open_storage(const Config& config, const RepositoryConfig& place,
                                      RandomId writer, Patience patience, Caching caching) {
  return scheme_of(place.url).open({.config = config,
                                    .place = place,
                                    .writer = writer,
                                    .patience = patience,
                                    .caching = caching});
}

std::unique_ptr<Storage> create_storage(const Config& config, RandomId writer) {
  const auto place = config.repository();
  return scheme_of(place.url).open(
      {.config = config, .place = place, .writer = writer, .is_new = true});
}

OpenRepository open_repository(const Config& config, const RepositoryConfig& place, RandomId writer,
                               Patience patience, Caching caching) {
  auto storage = open_storage(config, place, writer, patience, caching);
  auto repository = open_known(config, place, *storage);
  return {.storage = std::move(storage), .repository = repository};
}

}  // namespace walvault
