// The configuration file (docs/walvault.example.toml shows every key), merged
// with the command line and the environment.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>

#include "app/command_line.h"
#include "app/object_store.h"
#include "catalog/retention/retention.h"
#include "codec/compression.h"
#include "storage/storage_profile.h"

namespace walvault {

struct ClusterConfig {
  std::optional<std::string> pg;  // a libpq connection string
  RetentionPolicy retention;
  bool expire = false;  // after each backup
};

// A place for a repository, and how it is reached.
struct RepositoryConfig {
  std::string url;
  ObjectStoreConfig object_store;
  // How long one that does not answer is tried again; an object store's alone, a
  // directory is there or not.
  std::chrono::milliseconds retry_for{std::chrono::minutes(2)};
  // Of a directory: 0700, or a group may read (0750) or write (0770).
  mode_t mode = 0700;
  // Of a further one: a segment counts as archived only when it is safe there too.
  bool required = true;

  // How its storage wants to be used.
  [[nodiscard]] const StorageProfile& profile() const;
  [[nodiscard]] bool is_remote() const { return profile().is_remote; }

  // What tells it from any other, however it is spelled, the endpoint of its store included.
  // Error{usage} for a URL or settings that are wrong.
  [[nodiscard]] std::string place() const;
};

// The directory that a URL names. Error{usage} for another scheme or a relative path.
[[nodiscard]] std::string directory_of(const std::string& url);

struct Config {
  std::string path;  // of the file that was read; empty for none
  // [repository], and behind it [repository.2] and so on, by number. An empty url: the
  // file has none.
  RepositoryConfig first_repository;
  std::map<unsigned, RepositoryConfig> further_repositories;
  // What the command line or the environment names instead.
  std::optional<std::string> repository_asked;
  std::optional<std::string> cache_path;
  std::optional<std::string> state_path;
  std::uint64_t cache_bytes = 256u << 20;  // for each object store
  CompressionSetting data_compression;
  bool makes_deltas = true;
  bool always_deltas = false;
  unsigned delta_depth_max = 4;
  CompressionSetting wal_compression;
  unsigned jobs = 0;  // 0: as many as the machine has processors
  std::string fetch_retry_for = "5min";
  std::optional<unsigned> fetch_prefetch;  // segments
  std::optional<unsigned> archive_ahead;   // likewise
  std::map<std::string, ClusterConfig> clusters;

  // The one that a command works on: the one asked for, else [repository]. Error{usage}.
  [[nodiscard]] RepositoryConfig repository() const;

  // As a command line names it: by its number, where it has one, else by its URL.
  [[nodiscard]] std::string repository_text() const;

  // A repository by its URL, or its number in the file. What a section says of that place
  // holds; else `defaults` do. Error{usage} for a number that the file does not have.
  [[nodiscard]] RepositoryConfig repository_at(const std::string& url,
                                               const RepositoryConfig& defaults) const;

  // Those that are archived to beside it: all others of the file, if it is one of the file's
  // itself, or takes the place of a [repository] without a url.
  [[nodiscard]] std::map<unsigned, RepositoryConfig> archived_beside() const;
  // Whether the file has others and the one that was asked for is none of its.
  [[nodiscard]] bool leaves_others_out() const;

  // The cluster that was asked for, or the only one there is. Error{usage}.
  std::optional<std::string> cluster_asked;
  [[nodiscard]] std::string cluster() const;

  // How many segments are archived ahead: where each answer of a store takes its time,
  // more at a time.
  [[nodiscard]] unsigned segments_ahead() const;
  // And fetched ahead.
  [[nodiscard]] unsigned segments_prefetched() const;

  // How the storage of the repository wants to be used; where none is named, as a directory.
  [[nodiscard]] StorageProfile profile() const;
  [[nodiscard]] bool is_remote() const { return profile().is_remote; }

  // What the file says of a cluster; the defaults where it says nothing.
  [[nodiscard]] ClusterConfig of_cluster(const std::string& name) const;

  // More than there are processors where an object store's answers are waited for.
  [[nodiscard]] unsigned worker_threads() const;
  // What --jobs says, else those. Error{usage}.
  [[nodiscard]] unsigned worker_threads(const std::optional<std::string>& jobs) const;

  // As TreeWriter::Options::delta_depth.
  [[nodiscard]] unsigned delta_depth() const { return makes_deltas ? delta_depth_max : 0; }

  // As TreeWriter::Options: in an object store, unless it is told to make them always.
  [[nodiscard]] bool weighs_deltas() const { return is_remote() && !always_deltas; }
};

inline constexpr std::int64_t jobs_max = 256;
inline constexpr unsigned prefetch_max = 64;
inline constexpr unsigned archive_ahead_max = 64;
inline constexpr unsigned keep_max = 1'000'000;  // backups of any rule

// Error{usage} for a file that is missing though named, that does not parse,
// or that has a key no version of walvault knows: the nearest known is named.
[[nodiscard]] Config load_config(const GlobalOptions& options);

}  // namespace walvault
