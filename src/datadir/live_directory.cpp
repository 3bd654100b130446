#include "datadir/live_directory.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <string_view>

#include "base/error.h"
#include "datadir/data_directory.h"
#include "datadir/file_tree.h"
#include "postgres/control_file.h"

namespace walvault {
namespace {

// The lists of basebackup.c. Directories whose content a restored server makes anew.
constexpr std::array<std::string_view, 7> emptied_directories = {
    "pg_stat_tmp", "pg_replslot",  "pg_dynshmem", "pg_notify",
    "pg_serial",   "pg_snapshots", "pg_subtrans"};
// Files that belong to the running server.
constexpr std::array<std::string_view, 7> left_out_files = {
    "postgresql.auto.conf.tmp", "current_logfiles.tmp", "backup_label",   "tablespace_map",
    "backup_manifest",          "postmaster.pid",       "postmaster.opts"};
constexpr std::string_view relation_cache_prefix = "pg_internal.init";
constexpr std::string_view temporary_prefix = "pgsql_tmp";

constexpr int summaries_since_major = 17;

bool is_number(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

// Takes ".N" off the end of a relation's file name; false where what follows a dot is
// no number.
bool take_segment(std::string_view& name) {
  const auto dot = name.find('.');
  if (dot == std::string_view::npos) return true;
  if (!is_number(name.substr(dot + 1))) return false;
  name = name.substr(0, dot);
  return true;
}

// 16384, 16384_fsm.1: the relation's number. nullopt: no relation's file, or an init
// fork.
std::optional<std::string_view> relation_of(std::string_view name) {
  if (!take_segment(name)) return std::nullopt;
  const auto fork = name.find('_');
  const auto number = name.substr(0, fork);
  if (!is_number(number)) return std::nullopt;
  if (fork != std::string_view::npos) {
    const auto which = name.substr(fork + 1);
    if (which != "fsm" && which != "vm") return std::nullopt;
  }
  return number;
}

// t3_16384, t3_16384_fsm.1: of a session's temporary table.
bool is_temporary_relation(std::string_view name) {
  if (!name.starts_with('t')) return false;
  name.remove_prefix(1);
  const auto end = name.find('_');
  if (end == std::string_view::npos || !is_number(name.substr(0, end))) return false;
  name.remove_prefix(end + 1);
  if (!take_segment(name)) return false;
  const auto fork = name.find('_');
  if (!is_number(name.substr(0, fork))) return false;
  if (fork == std::string_view::npos) return true;
  const auto which = name.substr(fork + 1);
  return which == "fsm" || which == "vm" || which == "init";
}

// Not through links; nullopt: it is gone.
std::optional<struct stat> find_own_status(const std::string& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) == 0) return status;
  if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
  throw system_error("look at \"" + path + "\"", errno);
}

}  // namespace

LiveDirectory::LiveDirectory(std::string root, Options options)
    : root_(std::move(root)), options_(std::move(options)) {
  version_directory_ =
      "PG_" + std::to_string(options_.major) + "_" + std::to_string(options_.catalog_version);
  auto& statistics = options_.statistics_directory;
  if (statistics.starts_with(root_ + "/")) statistics.erase(0, root_.size() + 1);
  while (statistics.starts_with("./")) statistics.erase(0, 2);
  while (statistics.ends_with('/')) statistics.pop_back();
  for (const auto& name : names_in(root_ + "/pg_tblspc")) {
    const auto status = find_own_status(root_ + "/pg_tblspc/" + name);
    if (is_number(name) && status && S_ISLNK(status->st_mode)) tablespaces_.push_back(name);
  }
  for (const auto& location : DataDirectory(root_).tablespaces()) {
    if (location.starts_with(root_ + "/")) {
      inner_tablespaces_.push_back(location.substr(root_.size() + 1));
    }
  }
}

struct LiveDirectory::Walk {
  const LiveDirectory& of;
  const std::function<void(const LiveEntry&)>& each;
  const std::function<void(const std::string&)>& skipped;

  void give(bool is_directory, const std::string& path, const std::string& location,
            const struct stat& status) const {
    each({.is_directory = is_directory,
          .path = path,
          .location = location,
          .attributes = attributes_in(status)});
  }

  // What is in a directory. `path` is empty for the data directory itself.
  void look_into(const std::string& path, const std::string& location, bool holds_relations) const {
    for (const auto& name : names_in(location)) {
      if (name.starts_with(temporary_prefix) || name.starts_with(relation_cache_prefix) ||
          std::ranges::find(left_out_files, name) != left_out_files.end()) {
        continue;
      }
      if (holds_relations) {
        if (is_temporary_relation(name)) continue;
        // Of an unlogged table only the init fork, which its recovery begins with.
        const auto relation = relation_of(name);
        if (relation) {
          const auto init_fork = std::string(*relation).append("_init");
          if (find_own_status(joined(location, init_fork))) continue;
        }
      }
      look_at(path.empty() ? name : joined(path, name), name, joined(location, name));
    }
  }

  void look_at(const std::string& path, const std::string& name,
               const std::string& location) const {
    auto status = find_own_status(location);
    if (!status || path == control_file_path) return;
    const bool is_emptied =
        path == of.options_.statistics_directory ||
        std::ranges::find(emptied_directories, name) != emptied_directories.end();
    if (is_emptied || path == "pg_wal") {
      // It may be a link, which a backup has as a directory like the others.
      if (S_ISLNK(status->st_mode)) {
        const auto root = find_own_status(of.root_);
        status = find_status(location);
        if (status && root) status->st_mode = (status->st_mode & S_IFMT) | (root->st_mode & 07777u);
      }
      if (!status || !S_ISDIR(status->st_mode)) return;
      give(true, path, location, *status);
      if (path != "pg_wal") return;
      give(true, path + "/archive_status", location, *status);
      if (of.options_.major >= summaries_since_major) {
        give(true, path + "/summaries", location, *status);
      }
      return;
    }
    if (path == "pg_tblspc/" + name && is_number(name) && S_ISLNK(status->st_mode)) {
      if (!std::ranges::binary_search(of.tablespaces_, name)) return;
      const auto inner = location + "/" + of.version_directory_;
      const auto inner_path = path + "/" + of.version_directory_;
      const auto inner_status = find_status(inner);
      if (!inner_status) return;
      if (!S_ISDIR(inner_status->st_mode)) {
        skipped(inner_path);
        return;
      }
      give(true, inner_path, inner, *inner_status);
      look_into(inner_path, inner, false);
      return;
    }
    if (S_ISREG(status->st_mode)) {
      give(false, path, location, *status);
    } else if (S_ISDIR(status->st_mode)) {
      give(true, path, location, *status);
      if (std::ranges::find(of.inner_tablespaces_, path) != of.inner_tablespaces_.end()) return;
      const auto parent = path.substr(0, path.size() - std::min(path.size(), name.size() + 1));
      look_into(path, location,
                is_number(name) && (parent == "base" || parent.ends_with(of.version_directory_)));
    } else {
      skipped(path);
    }
  }
};

void LiveDirectory::walk(const std::function<void(const LiveEntry&)>& each,
                         const std::function<void(const std::string& path)>& skipped) const {
  Walk{.of = *this, .each = each, .skipped = skipped}.look_into("", root_, false);
}

}  // namespace walvault
