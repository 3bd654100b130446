#include "restore/destination.h"

#include <unistd.h>

#include <algorithm>
#include <functional>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "datadir/data_directory.h"
#include "datadir/file_tree.h"

namespace walvault {
namespace {

constexpr mode_t private_file = 0600;
// Tells an interrupted delta from a directory of whatever else.
constexpr std::string_view mark_path = "walvault.restoring";
constexpr std::uint64_t mark_bytes_max = 64;

std::string link_of(const Tablespace& each) { return "pg_tblspc/" + std::to_string(each.oid); }

// Which paths a backup has: eight bytes each.
class KnownPaths {
 public:
  // And the directories that it lies in.
  void add(const std::string& path) {
    hashes_.push_back(hash_(path));
    auto directory = parent_directory(path);
    if (directory == last_directory_) return;
    last_directory_ = directory;
    for (; directory != "."; directory = parent_directory(directory)) {
      hashes_.push_back(hash_(directory));
    }
  }
  void finish() { std::ranges::sort(hashes_); }
  [[nodiscard]] bool contains(const std::string& path) const {
    return std::ranges::binary_search(hashes_, hash_(path));
  }

 private:
  std::hash<std::string> hash_;
  std::vector<std::size_t> hashes_;
  std::string last_directory_;
};

// True: one that was begun before was not ended.
bool begin_delta(const DataDirectory& data, std::uint64_t system_identifier) {
  const auto mark = data.path() + "/" + std::string(mark_path);
  const bool goes_on = find_status(mark).has_value();
  data.expect_stopped();
  replace_file_durably(mark, as_bytes(std::to_string(system_identifier) + "\n"), private_file);
  data.remove_control_file();
  return goes_on;
}

void find_known_paths(TreeReader& tree, KnownPaths& known) {
  tree.for_each_entry([&](const FileEntry& entry) {
    if (!is_signal_file(entry.path)) known.add(entry.path);
  });
  known.add(std::string(mark_path));
  known.finish();
}

void remove_what_is_not_known(const Destination& destination, const RestoreRequest& request,
                              int major, const KnownPaths& known) {
  std::vector<std::pair<std::uint32_t, std::string>> places;
  std::vector<std::string> locations;
  for (const auto& [tablespace, held] : destination.tablespaces) {
    places.emplace_back(tablespace.oid, held.below());
    locations.push_back(tablespace.location);
  }
  // Before their links: replay would go on with what it finds in a tablespace that it
  // makes anew.
  const DataDirectory data(destination.data.below());
  if (request.replace_tablespaces) data.remove_other_tablespaces(major, locations);
  data.remove_what_does_not_belong(major, places,
                                   [&](const std::string& path) { return known.contains(path); });
}

}  // namespace

bool is_signal_file(const std::string& path) {
  return path == "recovery.signal" || path == "standby.signal";
}

void hold_tablespaces(Destination& destination, const RestoreRequest& request,
                      const std::vector<Tablespace>& tablespaces) {
  std::set<std::pair<dev_t, ino_t>> known;
  for (const auto& tablespace : tablespaces) {
    const ActingAs acting(request.owner);
    make_directory_tree(tablespace.location, 0700);
    HeldDirectory held(tablespace.location);
    if (const auto status = find_status(tablespace.location)) {
      known.emplace(status->st_dev, status->st_ino);
    }
    destination.tablespaces.push_back({.tablespace = tablespace, .held = std::move(held)});
  }
  if (!request.replace_tablespaces) return;
  const ActingAs acting(request.owner);
  for (const auto& location : DataDirectory(destination.data.below()).tablespaces()) {
    try {
      const auto status = find_status(location);
      if (!status || !known.emplace(status->st_dev, status->st_ino).second) continue;
      destination.others.emplace_back(location);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::unavailable) throw;
    }
  }
}

bool make_room(TreeReader& tree, const RecoveryPlan& plan, const RestoreRequest& request,
               const Destination& destination) {
  // Before anything is written: what goes makes room for it.
  KnownPaths known;
  if (request.delta) find_known_paths(tree, known);
  const ActingAs acting(request.owner);
  const DataDirectory data(destination.data.below());
  bool goes_on = false;
  const auto major = plan.backup.server_version / 10000;
  if (request.delta) {
    goes_on = begin_delta(data, plan.backup.control.system_identifier);
  } else if (request.replace) {
    data.remove_control_file();
  }
  if (request.replace && !request.replace_tablespaces) data.unlink_wal();
  if (request.delta) {
    remove_what_is_not_known(destination, request, major, known);
  } else if (request.replace) {
    data.clear(request.replace_tablespaces ? std::optional(major) : std::nullopt);
  }
  return goes_on;
}

void link_tablespaces(Destination& destination, DataDirectoryWriter& directory) {
  if (!destination.tablespaces.empty()) directory.make_directory("pg_tblspc", 0700);
  for (const auto& [tablespace, held] : destination.tablespaces) {
    directory.make_symlink(link_of(tablespace), tablespace.location);
    directory.redirect(link_of(tablespace), held.below());
  }
  // What clear() left.
  const auto wal = DataDirectory(destination.data.below()).linked_wal();
  if (wal) destination.wal = HeldDirectory(*wal);
}

void end_delta(const DataDirectoryWriter& directory) {
  (void)::unlink(directory.path_of(std::string(mark_path)).c_str());
}

bool is_unfinished_delta(const std::string& data_directory,
                         const std::vector<std::uint64_t>& system_identifiers) {
  const auto mark = data_directory + "/" + std::string(mark_path);
  if (!find_status(mark)) return false;
  const auto content = read_file(mark, mark_bytes_max);
  return std::ranges::any_of(system_identifiers, [&](std::uint64_t identifier) {
    return as_text(content) == std::to_string(identifier) + "\n";
  });
}

}  // namespace walvault
