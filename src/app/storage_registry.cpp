#include "app/storage_registry.h"

#include <algorithm>
#include <array>

#include "app/cancellation.h"
#include "app/log.h"
#include "app/object_store.h"
#include "app/open_repository.h"
#include "base/error.h"
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
  // Whether bytes are whole their digests tell, whatever they are encoded with.
  const ObjectCodec codec;
  const auto place = place_of(key);
  if (!place) return false;
  if (const auto& info = info_of(*place); info.is_sealed) {
    (void)codec.unseal(info.kind, key, content);
    return true;
  }
  if (range.length == whole_object.length) {
    (void)decode_root(codec, content, key);
  } else {
    (void)decode_root_head(codec, content, key);
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

std::unique_ptr<Storage> open_object_store(const StorageOpening& opening) {
  const auto& place = opening.place;
  auto settings = object_store_settings(place.url, place.object_store);
  const auto cache = cache_of(opening.config, place);
  settings.conditional_writes_seen =
      cache.find_recent(conditional_writes, std::chrono::hours(24)).has_value();
  settings.saw_conditional_writes = [cache] { cache.keep(conditional_writes, {}); };
  auto storage = std::make_unique<S3Storage>(
      std::move(settings), [store = place.object_store] { return load_credentials(store); },
      system_clock());
  RetryPolicy policy{
      .patience = opening.patience.value_or(place.retry_for),
      .first_pause = std::chrono::milliseconds(100),
      .jitter = true,
      .notice = [](const Error& error) { log_warning(one_line(error) + " Trying again."); },
      .check_cancelled = check_cancelled};
  auto patient =
      std::make_unique<RetryingStorage>(std::move(storage), system_clock(), std::move(policy));
  if (opening.caching == Caching::none) return patient;
  return std::make_unique<CachingStorage>(std::move(patient), cache, policy_of(opening.caching));
}

std::unique_ptr<Storage> open_directory(const StorageOpening& opening) {
  const auto& place = opening.place;
  auto storage =
      std::make_unique<PosixStorage>(directory_of(place.url), opening.writer, place.mode);
  if (opening.is_new) storage->prepare();
  return std::make_unique<RetryingStorage>(std::move(storage), system_clock());
}

std::string place_in_object_store(const RepositoryConfig& place) {
  const auto settings = object_store_settings(place.url, place.object_store);
  // No part of these has a blank in it.
  return settings.endpoint + " " + settings.region + " " + settings.bucket + " " + settings.prefix;
}

constexpr std::array<StorageScheme, 2> schemes = {{
    {"s3://", object_store_profile, place_in_object_store, open_object_store},
    // Last: what no other has.
    {"", directory_profile, [](const RepositoryConfig& place) { return directory_of(place.url); },
     open_directory},
}};

}  // namespace

const StorageScheme& scheme_of(const std::string& url) {
  return *std::ranges::find_if(
      schemes, [&](const StorageScheme& scheme) { return url.starts_with(scheme.begins_with); });
}

}  // namespace walvault
