// A repository in memory, with a clock and randomness of the test's own.
#pragma once

#include "repository/repository.h"
#include "storage/memory_storage.h"
#include "support/deterministic.h"

namespace walvault {

struct MemoryRepository {
  MemoryStorage storage;
  FakeClock clock;
  CountingRandomness randomness;
  Repository repository = [this] {
    Repository::create(storage, clock, randomness);
    return Repository::open(storage);
  }();
};

[[nodiscard]] inline std::vector<std::string> keys_under(Storage& storage,
                                                         std::string_view prefix) {
  std::vector<std::string> keys;
  storage.list(prefix, [&](const ObjectInfo& object) { keys.push_back(object.key); });
  return keys;
}

// Of committed backups; a tombstone is none.
[[nodiscard]] inline std::vector<std::string> root_keys(Storage& storage) {
  auto keys = keys_under(storage, "backups/");
  std::erase_if(keys, [&](const std::string& key) {
    return is_of_kind(storage.find(key).value(), ObjectKind::tombstone);
  });
  return keys;
}

}  // namespace walvault
