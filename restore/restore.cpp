#include "restore/restore.h"

#include <fcntl.h>

#include <algorithm>
#include <functional>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/format.h"
#include "base/place.h"
#include "catalog/records/backup_parts.h"
#include "codec/crc32c.h"
#include "datadir/data_directory.h"
#include "datadir/data_directory_writer.h"
#include "datadir/file_tree.h"
#include "datadir/running_server.h"
#include "postgres/backup_manifest.h"
#include "postgres/control_file.h"
#include "postgres/manifest_writer.h"
#include "repository/tree_reader.h"
#include "restore/created_tablespaces.h"
#include "restore/destination.h"
#include "restore/fetch/recovery_pin.h"
#include "restore/file_restorer.h"

namespace walvault {
namespace {

constexpr mode_t private_file = 0600;
constexpr std::uint64_t conf_bytes_max = 16u << 20;
constexpr std::string_view auto_conf_path = "postgresql.auto.conf";
// Room for what the file system itself needs beside the files.
constexpr std::uint64_t headroom_bytes = 1u << 20;

std::vector<Tablespace> tablespaces_of(const Root& root) {
  const auto it = root.notes.find(std::string(tablespace_map_note));
  return it == root.notes.end() ? std::vector<Tablespace>{} : parse_tablespace_map(it->second);
}

// Two places of which one is, or holds, the other would be merged.
void expect_apart(const std::string& data_directory, const std::vector<Tablespace>& tablespaces) {
  std::vector<std::pair<std::string, Place>> places;
  places.emplace_back(data_directory, Place(data_directory));
  for (const auto& tablespace : tablespaces) {
    places.emplace_back(tablespace.location, Place(tablespace.location));
  }
  for (std::size_t i = 0; i < places.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      const auto relation = overlap(places[i].second, places[j].second);
      if (relation == Overlap::none) continue;
      const bool is_around = relation == Overlap::around;
      throw Error(ErrorKind::usage, "two parts of the backup would be restored into one place",
                  "\"" + places[is_around ? j : i].first + "\" lies in \"" +
                      places[is_around ? i : j].first + "\".",
                  "Give each tablespace a directory of its own, outside the data directory.");
    }
  }
}

// Writes everything but pg_control, whose entry is returned.
FileEntry write_tree(TreeReader& tree, DataDirectoryWriter& directory, FileRestorer& files,
                     const Reporter& reporter, RestoreResult& result) {
  std::optional<FileEntry> control;
  std::vector<FileEntry> links;
  tree.for_each_entry([&](FileEntry& entry) {
    reporter.check_cancelled();
    switch (entry.kind) {
      case EntryKind::directory:
        directory.make_directory(entry.path, entry.mode);
        // The data directory's own mode is not in the stream; it is that of
        // the directories in it.
        if (entry.path == "global") directory.set_root_mode(entry.mode);
        break;
      // Made last, so that nothing is written through one.
      case EntryKind::symlink: links.push_back(entry); break;
      case EntryKind::file:
        if (is_signal_file(entry.path)) break;
        ++result.files;
        result.bytes += entry.size;
        if (entry.path == control_file_path) {
          control = entry;
        } else {
          directory.make_parents(entry.path);
          files.restore(entry);
        }
        break;
    }
  });
  files.finish();
  for (const auto& link : links) directory.make_symlink(link.path, link.link_target);
  if (!control) {
    throw Error(ErrorKind::corrupt, "the backup has no pg_control", {},
                "Restore from another backup.");
  }
  return *control;
}

// The server's manifest, changed where the tablespaces' new places change it.
void write_manifest(TreeReader& tree, DataDirectoryWriter& directory,
                    const std::string& tablespace_map) {
  const std::string name = "backup_manifest";
  (void)directory.make_file(name, 0, private_file);
  const auto file = directory.open_for_writing(name);
  const auto path = directory.path_of(name);
  ManifestRewriter rewriter(std::string(tablespace_map_note), tablespace_map.size(),
                            crc32c(as_bytes(tablespace_map)),
                            [&](ByteView bytes) { write_all(file, bytes, path); });
  tree.read_stream(manifest_stream, [&](ByteView bytes) { rewriter.feed(bytes); });
  rewriter.finish();
}

std::vector<RaisedSetting> write_recovery_settings(DataDirectoryWriter& directory,
                                                   const RecoverySettings& settings) {
  const auto path = directory.path_of(std::string(auto_conf_path));
  const auto content_of = [](const std::string& file) {
    if (!find_status(file)) return std::optional<std::string>();
    return std::optional(std::string(as_text(read_file(file, conf_bytes_max))));
  };
  const auto content = content_of(path).value_or("");
  auto raised = settings_to_raise(settings.required, content,
                                  content_of(directory.path_of("postgresql.conf")));
  const auto changed = with_recovery_settings(content, settings, raised);
  directory.replace_file(std::string(auto_conf_path), as_bytes(changed), private_file);
  directory.write_file(settings.standby ? "standby.signal" : recovery_pin_name,
                       as_bytes(settings.plan), private_file);
  return raised;
}

// The directories whose content goes before the restore.
std::vector<std::string> replaced_directories(const RestoreRequest& request) {
  const DataDirectory data(request.data_directory);
  if (!request.replace || !data.is_there()) return {};
  data.expect_stopped();
  std::vector<std::string> replaced;
  if (request.replace_tablespaces) replaced = data.tablespaces();
  replaced.push_back(data.path());
  return replaced;
}

// backup_label, tablespace_map, the manifest.
void write_notes(TreeReader& tree, DataDirectoryWriter& directory,
                 const std::vector<Tablespace>& tablespaces) {
  const auto& notes = tree.root().notes;
  const auto label = notes.find(std::string(backup_label_note));
  if (label == notes.end()) {
    throw Error(ErrorKind::corrupt, "the backup has no backup_label", {},
                "Restore from another backup.");
  }
  directory.write_file(std::string(backup_label_note), label->second, private_file);
  const auto map = format_tablespace_map(tablespaces);
  if (notes.contains(std::string(tablespace_map_note))) {
    directory.write_file(std::string(tablespace_map_note), as_bytes(map), private_file);
  }
  write_manifest(tree, directory, map);
}

}  // namespace

std::vector<Tablespace> check_destination(const WalArchive& archive, const RecoveryPlan& plan,
                                          const RestoreRequest& request) {
  const TreeReader tree(archive.repository(), backup_root_key(plan.backup.cluster, plan.backup.id));
  auto tablespaces = tablespaces_of(tree.root());
  refuse_mappings_of(request.created_tablespaces, request.mappings);
  for (const auto& mapping : request.mappings) {
    const auto it = std::ranges::find(tablespaces, mapping.from, &Tablespace::location);
    if (it == tablespaces.end()) {
      const auto known = list_of(tablespaces, &Tablespace::location);
      throw Error(ErrorKind::usage, "the backup has no tablespace at \"" + mapping.from + "\"",
                  known.empty() ? "It has no tablespaces." : "It has: " + known + ".");
    }
    it->location = mapping.to;
  }
  expect_apart(request.data_directory, tablespaces);
  const auto replaced = replaced_directories(request);
  const auto check_vacant = [&](const std::string& path, const std::string& what) {
    if (std::ranges::find(replaced, path) == replaced.end())
      DataDirectory(path).expect_vacant(what);
  };
  check_vacant(request.data_directory, "the destination");
  for (const auto& tablespace : tablespaces) {
    try {
      check_vacant(tablespace.location, "the tablespace's directory");
    } catch (const Error& error) {
      if (!request.replace || error.kind() != ErrorKind::conflict) throw;
      throw Error(error.kind(), error.message(), error.detail(),
                  "It may be another server's: give --tablespace " + tablespace.location +
                      "=NEW; or, if it belongs to " + request.data_directory + " alone, --yes.");
    }
  }
  auto ours = replaced;
  for (const auto& tablespace : tablespaces) ours.push_back(tablespace.location);
  expect_free_places_for(request.created_tablespaces, ours);
  // Where the tablespaces lie on other file systems this asks for too much
  // only of the first; each is told by its own when it fills up.
  const auto needed = plan.backup.size_bytes - plan.backup.zero_bytes + headroom_bytes;
  const auto available = free_bytes_at(request.data_directory) +
                         (request.replace ? bytes_below(request.data_directory) : 0);
  if (tablespaces.empty() && available < needed) {
    throw Error(ErrorKind::unavailable,
                "there is too little room for the restore at \"" + request.data_directory + "\"",
                "It needs " + format_size(needed) + ", " + format_size(available) + " are free.",
                "Free space there, or choose another directory.");
  }
  return tablespaces;
}

namespace {

RestoreResult restore_into(Destination& destination, const WalArchive& archive,
                           const RecoveryPlan& plan, const RestoreRequest& request,
                           const Reporter& reporter, const Meter& meter) {
  TreeReader tree(archive.repository(), backup_root_key(plan.backup.cluster, plan.backup.id));
  const bool goes_on = make_room(tree, plan, request, destination);
  DataDirectoryWriter directory(destination.data.below(),
                                request.delta ? Existing::reuse : Existing::none, request.owner);
  link_tablespaces(destination, directory);
  const auto directories = destination.all();
  // What an earlier one wrote may be in memory only: a sync that failed is forgotten.
  if (goes_on) sync_all(directories);
  FileRestorer files(archive.repository().storage(), tree, directory, request.jobs,
                     goes_on ? FoundInMemory::is_dropped : FoundInMemory::is_read, meter.done);
  RestoreResult result;
  const auto control = write_tree(tree, directory, files, reporter, result);
  result.kept_bytes = files.kept_bytes();
  std::vector<Tablespace> tablespaces;
  for (const auto& each : destination.tablespaces) tablespaces.push_back(each.tablespace);
  write_notes(tree, directory, tablespaces);
  {
    const ActingAs acting(request.owner);
    result.raised = write_recovery_settings(directory, request.settings);
  }
  reporter.check_cancelled();
  directory.apply_modes();
  sync_all(directories);

  // Last, and only now: with pg_control a server starts.
  files.restore(control);
  files.finish();
  const ActingAs acting(request.owner);
  const auto control_path = directory.path_of(control.path);
  sync_file(open_file(control_path, O_RDONLY), control_path);
  sync_directory(parent_directory(control_path));
  if (request.delta) end_delta(directory);
  // Whoever starts a server there finds what was written.
  for (const auto* const each : directories) each->expect_in_place();
  return result;
}

}  // namespace

RestoreResult restore_backup(const WalArchive& archive, const RecoveryPlan& plan,
                             const RestoreRequest& request, const HeldDirectory& held,
                             const Reporter& reporter, const Meter& meter) {
  const auto tablespaces = check_destination(archive, plan, request);
  Destination destination{.data = held, .tablespaces = {}, .others = {}, .wal = {}};
  try {
    hold_tablespaces(destination, request, tablespaces);
    make_places_for(request.created_tablespaces, request.owner);
    {
      // As whom a server starts there: the directories above have to let that user through.
      const ActingAs acting(request.owner);
      held.expect_in_place();
    }
    return restore_into(destination, archive, plan, request, reporter, meter);
  } catch (const Error& error) {
    auto shown = error;
    for (const auto* const each : destination.all()) shown = each->in_words(shown);
    throw shown;
  }
}

}  // namespace walvault
