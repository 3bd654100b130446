#include "basebackup/backup_receiver.h"

#include <algorithm>
#include <functional>

#include "base/error.h"
#include "codec/crc32c.h"

namespace walvault {
namespace {

constexpr std::size_t captured_bytes_max = 1u << 20;

std::uint64_t hash_of_file(const std::string& path, std::uint64_t size,
                           const std::string& checksum) {
  return std::hash<std::string>{}(path + '\0' + std::to_string(size) + '\0' + checksum);
}

Error unlike_the_manifest(std::string detail) {
  return {ErrorKind::corrupt, "what arrived is not what the server's manifest lists",
          std::move(detail), "Run the backup again; if it recurs, check the network."};
}

}  // namespace

BackupReceiver::BackupReceiver(TreeWriter& tree, const std::optional<ChangesOnly>& changes)
    : tree_(tree),
      changes_(changes),
      manifest_([this](const ManifestFile& file) { compare(file); }) {}

void BackupReceiver::begin_archive(const std::optional<Tablespace>& tablespace) {
  prefix_ = tablespace ? "pg_tblspc/" + std::to_string(tablespace->oid) + "/" : "";
  tar_.emplace(TarReader::Events{.begin = [this](const TarEntry& entry) { begin_entry(entry); },
                                 .data = [this](ByteView bytes) { entry_data(bytes); },
                                 .end = [this] { end_entry(); }});
  if (!changes_ || own_manifest_) return;
  begin_manifest();
  own_manifest_.emplace(changes_->major, changes_->system_identifier,
                        [this](ByteView bytes) { store_manifest(bytes); });
}

void BackupReceiver::begin_manifest() { tree_.begin_stream(std::string(manifest_stream)); }

void BackupReceiver::store_manifest(ByteView bytes) {
  tree_.append_to_stream(std::string(manifest_stream), bytes);
}

void BackupReceiver::archive_data(ByteView bytes) { tar_->feed(bytes); }

void BackupReceiver::end_archive() {
  tar_->finish();
  tar_.reset();
}

void BackupReceiver::begin_entry(const TarEntry& entry) {
  kind_ = entry.kind;
  path_ = prefix_ + entry.path;
  while (path_.ends_with('/')) path_.pop_back();
  size_ = entry.size;
  is_note_ = path_ == backup_label_note || path_ == tablespace_map_note;
  is_control_ = path_ == control_file_path;
  captured_.clear();
  mtime_ = entry.mtime;
  arrived_crc_ = 0;
  if (is_note_) {
    if (path_ == backup_label_note) label_time_ = entry.mtime;
    return;
  }
  FileEntry file;
  file.path = path_;
  file.mode = entry.mode;
  file.mtime = entry.mtime;
  file.size = entry.size;
  file.link_target = entry.link_target;
  switch (entry.kind) {
    case TarEntryKind::file: {
      const auto whole = changes_ ? path_of_incremental(path_) : std::nullopt;
      if (whole) {
        file.path = *whole;
        changed_.emplace(tree_, std::move(file), changes_->sizes);
      } else {
        tree_.begin_file(std::move(file));
      }
      break;
    }
    case TarEntryKind::directory:
      file.kind = EntryKind::directory;
      if (!path_.empty()) tree_.add(std::move(file));
      break;
    case TarEntryKind::symlink:
      file.kind = EntryKind::symlink;
      tree_.add(std::move(file));
      break;
  }
}

void BackupReceiver::entry_data(ByteView bytes) {
  if (is_note_ || is_control_) {
    if (captured_.size() + bytes.size() > captured_bytes_max) {
      throw Error(ErrorKind::corrupt, "the server sent a \"" + path_ + "\" that is too large");
    }
    captured_.insert(captured_.end(), bytes.begin(), bytes.end());
  }
  if (is_note_ || changed_) arrived_crc_ = crc32c(bytes, arrived_crc_);
  if (changed_) {
    changed_->feed(bytes);
  } else if (!is_note_) {
    tree_.append(bytes);
  }
}

void BackupReceiver::end_entry() {
  if (kind_ != TarEntryKind::file) return;
  if (is_note_) {
    received_.push_back(hash_of_file(path_, size_, manifest_crc32c_text(arrived_crc_)));
    if (path_ == backup_label_note) {
      label_ = parse_backup_label(captured_);
      if (changes_) captured_ = backup_label_of_whole(captured_);
    }
    list(path_, captured_.size(), crc32c(captured_));
    notes_[path_] = std::move(captured_);
    captured_ = {};
    return;
  }
  end_file();
  if (is_control_) control_ = parse_control_file(captured_);
}

void BackupReceiver::end_file() {
  if (!changed_) {
    const auto crc = tree_.end_file();
    received_.push_back(hash_of_file(path_, size_, manifest_crc32c_text(crc)));
    list(path_, size_, crc);
    return;
  }
  const auto whole = changed_->finish();
  changed_.reset();
  received_.push_back(hash_of_file(path_, size_, manifest_crc32c_text(arrived_crc_)));
  list(path_of_incremental(path_).value(), whole.size, whole.crc);
}

void BackupReceiver::list(const std::string& path, std::uint64_t size, std::uint32_t crc) {
  if (own_manifest_) own_manifest_->add(path, size, mtime_, crc);
}

void BackupReceiver::manifest_data(ByteView bytes) {
  if (!manifest_begun_ && !own_manifest_) begin_manifest();
  manifest_begun_ = true;
  if (!own_manifest_) store_manifest(bytes);
  manifest_.feed(bytes);
}

void BackupReceiver::compare(const ManifestFile& file) {
  if (!received_sorted_) {
    std::ranges::sort(received_);
    received_sorted_ = true;
  }
  ++listed_;
  if (file.checksum_algorithm != "CRC32C") {
    throw unlike_the_manifest("The checksum of \"" + file.path + "\" is not a CRC32C.");
  }
  const auto hash = hash_of_file(file.path, file.size, file.checksum);
  if (!std::ranges::binary_search(received_, hash)) {
    throw unlike_the_manifest("\"" + file.path + "\", " + std::to_string(file.size) +
                              " bytes, did not arrive, or with other content.");
  }
}

BackupContent BackupReceiver::finish(WalPosition stop) {
  if (!manifest_begun_) throw unlike_the_manifest("No manifest came.");
  manifest_.finish();
  if (listed_ != received_.size()) {
    throw unlike_the_manifest(std::to_string(received_.size()) + " files arrived, " +
                              std::to_string(listed_) + " are listed.");
  }
  if (!label_) throw unlike_the_manifest("No backup_label came.");
  if (!control_) throw unlike_the_manifest("No pg_control came.");
  if (own_manifest_) own_manifest_->finish(label_->timeline, label_->start, stop.lsn);
  tree_.end_stream(std::string(manifest_stream));
  BackupContent content;
  content.stop = stop;
  content.notes = std::move(notes_);
  content.label = *label_;
  content.control = *control_;
  content.label_time = label_time_;
  return content;
}

}  // namespace walvault
