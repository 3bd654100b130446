#include "app/open_repository.h"

#include <pwd.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

#include "app/cancellation.h"
#include "app/log.h"
#include "app/object_store.h"
#include "base/error.h"
#include "base/file.h"
#include "repository/object_table.h"
#include "repository/tree.h"
#include "storage/decorators/caching_storage.h"
#include "storage/decorators/retrying_storage.h"
#include "storage/posix_storage.h"
#include "storage/s3/s3_storage.h"

namespace walvault {
namespace {

// That a store was seen to heed If-None-Match, in the cache.
constexpr std::string_view conditional_writes = "conditional writes";

bool is_whole(std::string_view key, ByteRange range, ByteView content) try {
  const auto place = place_of(key);
  if (!place) return false;
  if (const auto& info = info_of(*place); info.is_sealed) {
    (void)unseal(info.kind, key, content);
    return true;
  }
  if (range.length == whole_object.length) {
    (void)decode_root(content, key);
  } else {
    (void)decode_root_head(content, key);
  }
  return range.offset == 0;
} catch (const Error&) {
  return false;
}

CachePolicy policy_of(Caching caching) {
  CachePolicy policy;
  for (const auto& info : object_table()) {
    const std::string prefix(info.prefix);
    switch (caching) {
      case Caching::none: break;
      case Caching::content:
        if (info.cached == Cached::lasting) policy.lasting.push_back(prefix);
        policy.is_whole = is_whole;
        break;
      case Caching::recovery:
        if (info.cached == Cached::by_recovery) {
          policy.recent.push_back(prefix);
          policy.may_be_empty.push_back(prefix);
        }
        [[fallthrough]];
      case Caching::registration:
        if (info.cached == Cached::by_archiving) policy.recent.push_back(prefix);
        break;
    }
  }
  return policy;
}

std::unique_ptr<Storage> open_object_store(const Config& config, const RepositoryConfig& place,
                                           Patience patience, Caching caching) {
  auto settings = object_store_settings(place.url, place.object_store);
  const auto cache = cache_of(config, place);
  settings.conditional_writes_seen =
      cache.find_recent(conditional_writes, std::chrono::hours(24)).has_value();
  settings.saw_conditional_writes = [cache] { cache.keep(conditional_writes, {}); };
  auto storage = std::make_unique<S3Storage>(
      std::move(settings), [store = place.object_store] { return load_credentials(store); },
      system_clock());
  RetryPolicy policy{
      .patience = patience.value_or(place.retry_for),
      .first_pause = std::chrono::milliseconds(100),
      .jitter = true,
      .notice = [](const Error& error) { log_warning(one_line(error) + " Trying again."); },
      .check_cancelled = check_cancelled};
  auto patient =
      std::make_unique<RetryingStorage>(std::move(storage), system_clock(), std::move(policy));
  if (caching == Caching::none) return patient;
  return std::make_unique<CachingStorage>(std::move(patient), cache, policy_of(caching));
}

std::unique_ptr<Storage> open_directory(std::unique_ptr<PosixStorage> storage) {
  return std::make_unique<RetryingStorage>(std::move(storage), system_clock());
}

}  // namespace

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
  if (place.is_remote()) return open_object_store(config, place, patience, caching);
  return open_directory(
      std::make_unique<PosixStorage>(directory_of(place.url), writer, place.mode));
}

std::unique_ptr<Storage> create_storage(const Config& config, RandomId writer) {
  const auto place = config.repository();
  if (place.is_remote()) return open_object_store(config, place, {}, Caching::none);
  auto storage = std::make_unique<PosixStorage>(directory_of(place.url), writer, place.mode);
  storage->prepare();
  return open_directory(std::move(storage));
}

OpenRepository open_repository(const Config& config, const RepositoryConfig& place, RandomId writer,
                               Patience patience, Caching caching) {
  auto storage = open_storage(config, place, writer, patience, caching);
  auto repository = Repository::open(*storage);
  return {.storage = std::move(storage), .repository = repository};
}

}  // namespace walvault
