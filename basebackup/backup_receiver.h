// Turns the events of a base backup into a stored tree, and keeps beside it
// what belongs beside it: backup_label, tablespace_map, pg_control, the
// manifest.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "basebackup/backup_content.h"
#include "basebackup/changed_file.h"
#include "postgres/backup_manifest.h"
#include "postgres/manifest_writer.h"
#include "postgres/tar_reader.h"
#include "repository/tree_writer.h"

namespace walvault {

// What arrives is what changed since the parent, and is put together with that. Then the
// manifest is one of our own: the server's lists what it sent.
struct ChangesOnly {
  ChangedFile::Sizes sizes;
  int major = 0;
  std::uint64_t system_identifier = 0;
};

class BackupReceiver {
 public:
  // nullopt: everything arrives.
  explicit BackupReceiver(TreeWriter& tree, const std::optional<ChangesOnly>& changes = {});

  void begin_archive(const std::optional<Tablespace>& tablespace);
  void archive_data(ByteView bytes);
  void end_archive();
  void manifest_data(ByteView bytes);

  // Checks that what arrived is what the manifest lists, that nothing that a
  // restore needs is missing; Error{corrupt} otherwise. Returns what it came with.
  [[nodiscard]] BackupContent finish(WalPosition stop);

 private:
  void begin_entry(const TarEntry& entry);
  void entry_data(ByteView bytes);
  void end_entry();
  void end_file();
  void list(const std::string& path, std::uint64_t size, std::uint32_t crc);
  void begin_manifest();
  void store_manifest(ByteView bytes);
  void compare(const ManifestFile& file);

  TreeWriter& tree_;
  const std::optional<ChangesOnly> changes_;
  std::optional<ManifestWriter> own_manifest_;  // of what the changes make
  std::string prefix_;                          // of paths in the archive being received
  std::optional<TarReader> tar_;

  TarEntryKind kind_ = TarEntryKind::file;
  std::string path_;
  std::uint64_t size_ = 0;  // of what arrives
  std::int64_t mtime_ = 0;
  std::uint32_t arrived_crc_ = 0;  // of a note, or a changed file
  std::optional<ChangedFile> changed_;
  bool is_note_ = false;
  bool is_control_ = false;
  Bytes captured_;  // of a note, or of pg_control

  std::map<std::string, Bytes> notes_;
  std::optional<BackupLabel> label_;
  std::optional<ControlFile> control_;
  std::optional<std::int64_t> label_time_;

  // A hash of path, size and checksum for each file that arrived: eight bytes
  // each are enough to compare a million files with the manifest.
  std::vector<std::uint64_t> received_;
  bool received_sorted_ = false;
  std::uint64_t listed_ = 0;
  ManifestReader manifest_;
  bool manifest_begun_ = false;
};

}  // namespace walvault
