// Every kind of storage that a URL may name, in one table: how it is told, opened, and best used.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "storage/storage.h"
#include "storage/storage_profile.h"

namespace walvault {

struct Config;
struct RepositoryConfig;

// What an object store said before may be taken from the cache on this machine.
enum class Caching {
  none,
  // Roots, ledgers and names of relations: for who looks at what is there, and neither
  // deletes nor proves anything.
  content,
  // What the repository's format is, and which cluster a name means, for a minute: for
  // who archives WAL. docs/guarantees.md tells why that is enough.
  registration,
  // And which branches its timelines have: for who finds what was fetched before.
  recovery,
};

// How long a storage that does not answer is tried; nullopt: as the configuration says.
using Patience = std::optional<std::chrono::milliseconds>;

struct StorageOpening {
  const Config& config;
  const RepositoryConfig& place;
  RandomId writer{};
  Patience patience = {};
  Caching caching = Caching::none;
  // It is a new one, whose directory is made and tried out.
  bool is_new = false;
};

struct StorageScheme {
  // What its URLs begin with; empty: a path, or file://.
  std::string_view begins_with;
  StorageProfile profile;
  // What tells a place from any other, however it is spelled. Error{usage} for a URL or settings
  // that are wrong.
  std::string (*place)(const RepositoryConfig& place);
  // With retries around it. Errors likewise.
  std::unique_ptr<Storage> (*open)(const StorageOpening& opening);
};

// Directories are what no other scheme owns.
[[nodiscard]] const StorageScheme& scheme_of(const std::string& url);

}  // namespace walvault
