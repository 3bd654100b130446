#include "app/open_repository.h"

#include "app/log.h"
#include "app/object_store.h"
#include "app/store_memory.h"
#include "base/error.h"
#include "base/file.h"
#include "storage/caching_storage.h"
#include "storage/posix_storage.h"
#include "storage/retrying_storage.h"
#include "storage/s3/s3_storage.h"

namespace walvault {
namespace {

std::string directory_of(const std::string& url) {
  std::string path = url;
  if (path.starts_with("file://")) path.erase(0, 7);
  if (!path.starts_with('/')) {
    const auto scheme = path.find("://");
    const auto shown = url.find('@') == std::string::npos ? url : url.substr(0, scheme) + "...";
    throw Error(ErrorKind::usage, "\"" + shown + "\" is not a repository",
                scheme == std::string::npos
                    ? "A repository on a directory is named by its absolute path."
                    : "The scheme \"" + path.substr(0, scheme) + "\" is not known.",
                "Write /path/to/repository, file:///path/to/repository or s3://BUCKET/PREFIX.");
  }
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return path;
}

CachePolicy policy_of(Caching caching) {
  switch (caching) {
    case Caching::none: return {};
    case Caching::content: return {.lasting = {"backups/", "wal-ledger/", "catalogues/"}};
    case Caching::registration: return {.recent = {"format/", "clusters/"}};
  }
  throw Error(ErrorKind::internal, "caching of no kind");
}

std::unique_ptr<Storage> open_object_store(const Config& config, const RepositoryConfig& place,
                                           Patience patience, Caching caching) {
  auto settings = object_store_settings(place.url, place.object_store);
  const StoreMemory memory(config.cache_path.value_or(default_cache_directory()),
                           repository_place(place));
  settings.conditional_writes_seen =
      memory.knows(StoreMemory::Fact::conditional_writes, system_clock().now());
  settings.saw_conditional_writes = [memory] {
    memory.keep(StoreMemory::Fact::conditional_writes);
  };
  auto storage = std::make_unique<S3Storage>(
      std::move(settings), [store = place.object_store] { return load_credentials(store); },
      system_clock());
  RetryPolicy policy{.patience = patience.value_or(place.retry_for),
                     .first_pause = std::chrono::milliseconds(100),
                     .jitter = true,
                     .notice = [](const Error& error) {
                       log_warning(error.message() + ": " + error.detail() + " Trying again.");
                     }};
  auto patient =
      std::make_unique<RetryingStorage>(std::move(storage), system_clock(), std::move(policy));
  if (caching == Caching::none) return patient;
  return std::make_unique<CachingStorage>(
      std::move(patient), LocalCache(memory.answers_directory(), config.cache_bytes),
      system_clock(), policy_of(caching));
}

std::unique_ptr<Storage> open_directory(std::unique_ptr<PosixStorage> storage) {
  return std::make_unique<RetryingStorage>(std::move(storage), system_clock());
}

}  // namespace

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

std::string repository_place(const RepositoryConfig& place) {
  if (!place.is_remote()) return directory_of(place.url);
  const auto settings = object_store_settings(place.url, place.object_store);
  // No part of these has a blank in it.
  return settings.endpoint + " " + settings.region + " " + settings.bucket + " " + settings.prefix;
}

OpenRepository open_repository(const Config& config, const RepositoryConfig& place, RandomId writer,
                               Patience patience, Caching caching) {
  auto storage = open_storage(config, place, writer, patience, caching);
  auto repository = Repository::open(*storage);
  return {.storage = std::move(storage), .repository = repository};
}

}  // namespace walvault
