// The one table of what a repository holds: under which prefix, of which kind, whose it is,
// what its loss costs, and who may delete it. All prefixes come from it; verify, the caches and
// docs/objects.md are made from it. The integration tests hold every object that they leave to
// it, and what a copy has brought.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "repository/object_codec.h"

namespace walvault {

// What is stored, by where it lies. Ordered as docs/repository-format.md lists the keys.
enum class ObjectPlace {
  format,
  clusters,
  branches,
  packs,
  backups,
  pins,
  plans,
  unfinished,
  wal,
  ledgers,
  accepted_gaps,
  left,
  catalogues,
  keeps,
  deleted,
  wal_expiry,
  damaged,
  verified,
  readers,
  root_copies,
};

// Whether the second part of a key is the name of a cluster.
enum class Scope { repository, cluster };

// What has to be known to read an object, once there are keys. Objects of the class `plain`
// hold names and times alone, and nothing is ever deleted because of what one of them says.
enum class KeyClass { plain, catalogue, content };

// What may be remembered of it on this machine: nothing; for a minute, by archiving and
// recovery or by recovery alone; an object for good, as it never changes.
enum class Cached { no, by_archiving, by_recovery, lasting };

// How `walvault copy` brings it to another repository: byte for byte; put there anew where
// what is there already allows it; not at all, as each repository has its own.
enum class Copied { as_it_is, anew, no };

struct ObjectPlaceInfo {
  ObjectPlace place{};
  std::string_view prefix;  // "clusters/"
  ObjectKind kind{};
  // It is sealed (repository/object_codec.h), so that one reading tells whether it is whole; packs,
  // roots and WAL objects have formats of their own.
  bool is_sealed = true;
  Scope scope{};
  KeyClass key_class{};
  bool is_derived = false;  // it can be made again of others
  Cached cached{};
  Copied copied{};
  std::string_view deleted_by;  // "gc", "nobody"
  std::string_view what;        // "the registration of a cluster"
  // What its loss costs, as verify says it. Empty: verify finds out which backups and moments
  // are lost.
  std::string_view loss;
};

[[nodiscard]] std::span<const ObjectPlaceInfo> object_table();

[[nodiscard]] const ObjectPlaceInfo& info_of(ObjectPlace place);

// What the keys of a place begin with: "clusters/".
[[nodiscard]] std::string_view prefix_of(ObjectPlace place);

// Those of one cluster: "clusters/main/". For places of Scope::cluster.
[[nodiscard]] std::string prefix_of(ObjectPlace place, std::string_view cluster);

// nullopt: of no place that this version knows.
[[nodiscard]] std::optional<ObjectPlace> place_of(std::string_view key);

// docs/objects.md.
[[nodiscard]] std::string object_table_page();

}  // namespace walvault
