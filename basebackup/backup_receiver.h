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
#include "postgres/backup_manifest.h"
#include "postgres/tar_reader.h"
#include "repository/tree_writer.h"

namespace walvault {

class BackupReceiver {
 public:
  explicit BackupReceiver(TreeWriter& tree);

  void begin_archive(const std::optional<Tablespace>& tablespace);
  void archive_data(ByteView bytes);
  void end_archive();
  void manifest_data(ByteView bytes);

  // Checks that what arrived is what the manifest lists, that nothing that a
  // restore needs is missing; Error{corrupt} otherwise. Returns what it came with, but
  // for where it stopped.
  [[nodiscard]] BackupContent finish();

 private:
  void begin_entry(const TarEntry& entry);
  void entry_data(ByteView bytes);
  void end_entry();
  void compare(const ManifestFile& file);

  TreeWriter& tree_;
  std::string prefix_;  // of paths in the archive being received
  std::optional<TarReader> tar_;

  TarEntryKind kind_ = TarEntryKind::file;
  std::string path_;
  std::uint64_t size_ = 0;
  std::uint32_t note_crc_ = 0;
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
