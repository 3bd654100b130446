#include "app/open_repository.h"

#include <pwd.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

namespace walvault {
LocalCache cache_of(const Config& config, const RepositoryConfig& place) {
  return {config.cache_path.value_or(default_cache_directory()), place.place(), config.cache_bytes,
          system_clock()};
}

std::string default_cache_directory() {
  if (::geteuid() == 0) return "/var/cache/walvault";
  for (const auto& [name, below] :
       {std::pair("XDG_CACHE_HOME", "/walvault"), std::pair("HOME", "/.cache/walvault")}) {
    const char* const value = std::getenv(name);
    if (value != nullptr && *value == '/') return std::string(value) + below;
  }
  // What starts a server need not say where its user is at home.
  struct passwd entry {};
  struct passwd* found = nullptr;
  std::array<char, 4096> room{};
  if (::getpwuid_r(::geteuid(), &entry, room.data(), room.size(), &found) == 0 &&
      found != nullptr && found->pw_dir != nullptr && *found->pw_dir == '/') {
    return std::string(found->pw_dir) + "/.cache/walvault";
  }
  return "";
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
  auto repository = Repository::open(*storage);
  return {.storage = std::move(storage), .repository = repository};
}

}  // namespace walvault
