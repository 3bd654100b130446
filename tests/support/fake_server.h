// A PostgreSQL server as a base backup sees it: a small data directory, sent
// as tar streams with a manifest. Everything about it may be changed before a
// backup, and its tar and manifest by `tamper_*` on their way.
#pragma once

#include <algorithm>
#include <array>
#include <cstdio>
#include <functional>
#include <map>
#include <set>
#include <string>

#include "codec/crc32c.h"
#include "codec/sha256.h"
#include "postgres/backup_manifest.h"
#include "postgres/client/replication_connection.h"
#include "support/wal_files.h"

namespace walvault {

// global/pg_control of PostgreSQL 13 to 16 (catalog/pg_control.h), 8 KiB.
struct ControlFileSpec {
  std::uint64_t system_identifier = test_system_identifier;
  std::uint32_t control_version = 1300;
  std::uint32_t catalog_version = 202209061;
  Lsn checkpoint{3 * test_segment_bytes + test_checkpoint_offset};
  Lsn redo{3 * test_segment_bytes + 0x28};
  std::uint32_t timeline = 1;
  std::uint64_t next_full_xid = 750;
};

[[nodiscard]] inline Bytes control_file(const ControlFileSpec& spec = {}) {
  Bytes bytes(8192);
  const auto put = [&](std::size_t offset, auto write) {
    ByteWriter out;
    write(out);
    std::ranges::copy(out.bytes(), bytes.begin() + static_cast<std::ptrdiff_t>(offset));
  };
  put(0, [&](ByteWriter& out) {
    out.u64(spec.system_identifier);
    out.u32(spec.control_version);
    out.u32(spec.catalog_version);
  });
  put(32, [&](ByteWriter& out) {
    out.u64(spec.checkpoint.value);
    out.raw(checkpoint_copy(
        {.redo = spec.redo, .timeline = spec.timeline, .next_full_xid = spec.next_full_xid}));
  });
  put(180, [](ByteWriter& out) {
    for (const auto setting : {100u, 8u, 10u, 0u, 64u}) out.u32(setting);
  });
  put(216, [](ByteWriter& out) {
    for (const auto size : {8192u, 131072u, 8192u, test_segment_bytes}) out.u32(size);
  });
  put(252, [](ByteWriter& out) { out.u32(1); });
  put(288, [&](ByteWriter& out) { out.u32(crc32c(ByteView(bytes).first(288))); });
  return bytes;
}

// One entry of a tar stream, its content padded to whole blocks (common/tar.c).
inline void write_tar_entry(Bytes& out, const std::string& path, char type, std::uint32_t mode,
                            std::int64_t mtime, ByteView content,
                            const std::string& link_target = {}) {
  std::array<char, 512> header{};
  const auto put = [&](std::size_t offset, std::string_view text) {
    std::ranges::copy(text, header.begin() + static_cast<std::ptrdiff_t>(offset));
  };
  const auto put_octal = [&](std::size_t offset, int width, std::uint64_t value) {
    char digits[32];
    std::snprintf(digits, sizeof digits, "%0*llo", width - 1,
                  static_cast<unsigned long long>(value));
    put(offset, digits);
  };
  put(0, type == '5' ? path + "/" : path);
  put_octal(100, 8, mode);
  put_octal(108, 8, 0);
  put_octal(116, 8, 0);
  put_octal(124, 12, content.size());
  put_octal(136, 12, static_cast<std::uint64_t>(mtime));
  put(148, "        ");
  header[156] = type;
  put(157, link_target);
  put(257, "ustar");
  put(263, "00");
  std::uint64_t sum = 0;
  for (const char c : header) sum += static_cast<std::uint8_t>(c);
  put_octal(148, 7, sum);
  header[154] = 0;
  out.insert(out.end(), header.begin(), header.end());
  out.insert(out.end(), content.begin(), content.end());
  out.resize((out.size() + 511) / 512 * 512);
}

class FakeServer final : public ReplicationConnection {
 public:
  struct TestTablespace {
    std::string location;
    std::map<std::string, Bytes> files;  // below the tablespace's directory
  };

  std::uint64_t system_id = test_system_identifier;
  int version = 150018;
  bool local = true;
  std::map<std::string, std::string> settings{{"archive_mode", "on"},
                                              {"data_directory", "/srv/pg"}};
  // What a backup begins and ends with.
  WalPosition begin{.lsn = {3 * test_segment_bytes + 0x28}, .timeline = {1}};
  WalPosition end{.lsn = {4 * test_segment_bytes + 0x100}, .timeline = {1}};
  std::int64_t time = 1'790'000'000;
  Bytes history;  // of its timeline

  std::vector<std::string> directories{"global", "base", "base/5", "pg_wal", "pg_tblspc"};
  std::map<std::string, Bytes> files = default_files();
  std::map<std::uint32_t, TestTablespace> tablespaces;
  std::map<std::string, std::uint32_t> modes;  // 0600 where not named

  bool sends_label = true;
  bool sends_manifest = true;
  std::size_t piece_bytes = 10'000;                        // that streams arrive in
  std::function<void(Bytes&)> tamper_tar = [](Bytes&) {};  // of the data directory
  std::function<void(std::string&)> tamper_manifest = [](std::string&) {};
  std::function<void()> before_manifest = [] {};
  std::vector<std::string> warnings;  // during a backup
  bool has_damaged_pages = false;
  std::vector<std::string> skipped;  // paths
  // Whether the slot that claims the server for a backup can be had.
  std::function<bool(const std::string&)> before_claim = [](const std::string&) { return true; };
  std::string slot;
  std::function<void(WalPosition, const std::string&, const WalStreamEvents&)> stream =
      [](WalPosition, const std::string&, const WalStreamEvents&) {};
  int backups = 0;
  std::string last_label;

  // Of incremental backups, which are made against what the backup before sent.
  std::string uploaded;          // the manifest that was handed over
  std::string refuses_manifest;  // why
  std::string refuses_changes;   // likewise
  // Changed blocks of files that no WAL tells of.
  std::set<std::pair<std::string, std::uint32_t>> unlogged;
  bool last_was_incremental = false;

  [[nodiscard]] static std::map<std::string, Bytes> default_files() {
    std::map<std::string, Bytes> files;
    files["PG_VERSION"] = bytes_of("15\n");
    files["global/pg_control"] = control_file();
    files["global/1262"] = random_bytes(8192, 1);
    files["base/5/1259"] = random_bytes(700'000, 2);
    files["base/5/2619"] = random_bytes(16384, 3);
    files["base/5/3000"] = Bytes(1'000'000);
    files["base/5/empty"] = {};
    files["postgresql.auto.conf"] = bytes_of("# Do not edit this file manually!\n");
    return files;
  }

  [[nodiscard]] std::string label_text() const {
    return "START WAL LOCATION: " + begin.lsn.text() + " (file " +
           SegmentName::containing(begin.timeline, begin.lsn, test_geometry).text(test_geometry) +
           ")\nCHECKPOINT LOCATION: " + begin.lsn.text() +
           "\nBACKUP METHOD: streamed\nBACKUP FROM: primary\nSTART TIME: 2026-09-21 14:13:20 UTC\n"
           "LABEL: test\nSTART TIMELINE: " +
           std::to_string(begin.timeline.value) + "\n";
  }
  // As it is sent.
  [[nodiscard]] std::string sent_label_text() const {
    if (!last_was_incremental) return label_text();
    return label_text() + "INCREMENTAL FROM LSN: 0/2000028\nINCREMENTAL FROM TLI: 1\n";
  }
  [[nodiscard]] std::string tablespace_map_text() const {
    std::vector<Tablespace> list;
    for (const auto& [oid, tablespace] : tablespaces) {
      list.push_back({.oid = oid, .location = tablespace.location});
    }
    return format_tablespace_map(list);
  }

  // What a backup of this server holds, under its paths in the data directory;
  // without backup_label and tablespace_map.
  [[nodiscard]] std::map<std::string, Bytes> all_files() const {
    auto all = files;
    for (const auto& [oid, tablespace] : tablespaces) {
      for (const auto& [path, content] : tablespace.files) {
        all["pg_tblspc/" + std::to_string(oid) + "/" + path] = content;
      }
    }
    return all;
  }

  // A file as it is sent: its path, and all of it or what changed.
  [[nodiscard]] std::pair<std::string, Bytes> sent(const std::string& path,
                                                   const Bytes& content) const {
    const auto it = before_.find(path);
    if (!last_was_incremental || it == before_.end() || !path.starts_with("base/") ||
        uploaded.find("\"Path\": \"" + path + "\"") == std::string::npos || content.empty() ||
        content.size() % 8192 != 0 || it->second.size() % 8192 != 0) {
      return {path, content};
    }
    const auto page_of = [](const Bytes& file, std::size_t block) {
      return ByteView(file).subspan(block * 8192, 8192);
    };
    const auto blocks = static_cast<std::uint32_t>(content.size() / 8192);
    std::vector<std::uint32_t> changed;
    for (std::uint32_t block = 0; block < blocks; ++block) {
      const auto page = page_of(content, block);
      const bool was_there = (block + 1) * 8192 <= it->second.size();
      const bool is_changed =
          was_there ? !std::ranges::equal(page, page_of(it->second, block)) : !is_all_zero(page);
      if (is_changed && !unlogged.contains({path, block})) changed.push_back(block);
    }
    ByteWriter out;
    out.u32(0xd3ae1f0d);
    out.u32(static_cast<std::uint32_t>(changed.size()));
    out.u32(blocks);
    for (const auto block : changed) out.u32(block);
    while (!changed.empty() && out.size() % 8192 != 0) out.u8(0);
    for (const auto block : changed) out.raw(page_of(content, block));
    return {path.substr(0, path.rfind('/') + 1) + "INCREMENTAL." + path.substr(path.rfind('/') + 1),
            out.take()};
  }

  [[nodiscard]] std::string manifest_text() const {
    std::string text = "{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n\"Files\": [";
    bool first = true;
    const auto add = [&](const std::string& path, ByteView content) {
      text += (first ? "\n" : ",\n") + ("{ \"Path\": \"" + path) +
              "\", \"Size\": " + std::to_string(content.size()) +
              ", \"Last-Modified\": \"2026-09-21 14:13:20 GMT\", \"Checksum-Algorithm\": "
              "\"CRC32C\", \"Checksum\": \"" +
              manifest_crc32c_text(crc32c(content)) + "\" }";
      first = false;
    };
    if (sends_label) add("backup_label", as_bytes(sent_label_text()));
    if (!tablespaces.empty()) add("tablespace_map", as_bytes(tablespace_map_text()));
    for (const auto& [path, content] : all_files()) {
      const auto [sent_path, sent_content] = sent(path, content);
      add(sent_path, sent_content);
    }
    text += "\n],\n\"WAL-Ranges\": [\n{ \"Timeline\": 1, \"Start-LSN\": \"" + begin.lsn.text() +
            "\", \"End-LSN\": \"" + end.lsn.text() + "\" }\n],\n";
    return text + "\"Manifest-Checksum\": \"" + sha256(as_bytes(text)).hex() + "\"}\n";
  }

  SystemIdentity identify_system() override {
    return {.system_identifier = system_id, .timeline = begin.timeline, .flushed = begin.lsn};
  }
  std::optional<std::string> show(const std::string& setting) override {
    const auto it = settings.find(setting);
    if (it == settings.end()) return std::nullopt;
    return it->second;
  }
  Bytes timeline_history(TimelineId) override { return history; }
  bool create_temporary_slot(const std::string& name, SlotWal wal) override {
    if (wal == SlotWal::not_kept) return before_claim(name);
    slot = name;
    return true;
  }
  void stream_wal(WalPosition start, const std::string& slot_name,
                  const WalStreamEvents& events) override {
    stream(start, slot_name, events);
  }
  int server_version() override { return version; }
  bool is_local() override { return local; }

  void upload_manifest(const std::function<void(const Sink&)>& write) override {
    Bytes manifest;
    write([&](ByteView bytes) { manifest.insert(manifest.end(), bytes.begin(), bytes.end()); });
    uploaded = std::string(as_text(manifest));
    if (!refuses_manifest.empty()) throw Error(ErrorKind::unavailable, "no", refuses_manifest);
  }

  BaseBackupEnd base_backup(const BaseBackupOptions& options,
                            const BaseBackupEvents& events) override {
    last_was_incremental = options.incremental;
    if (options.incremental && !refuses_changes.empty()) {
      throw Error(ErrorKind::unavailable, "no", refuses_changes);
    }
    ++backups;
    last_label = options.label;
    events.start(begin, 1'000'000);
    for (const auto& [oid, tablespace] : tablespaces) {
      Bytes tar;
      write_tar_entry(tar, "PG_15_202209061", '5', 0700, time, {});
      for (const auto& [path, content] : tablespace.files) {
        write_tar_entry(tar, path, '0', 0600, time, content);
      }
      send(Tablespace{.oid = oid, .location = tablespace.location}, tar, events);
    }
    auto tar = data_directory_tar();
    tamper_tar(tar);
    send(std::nullopt, tar, events);
    before_manifest();
    if (sends_manifest) {
      auto manifest = manifest_text();
      tamper_manifest(manifest);
      in_pieces(as_bytes(manifest), events.manifest_data);
    }
    for (const auto& text : warnings) events.warning(text);
    for (const auto& path : skipped) events.skipped(path);
    before_ = files;
    return {.position = end, .has_damaged_pages = has_damaged_pages};
  }

 private:
  [[nodiscard]] std::uint32_t mode_of(const std::string& path, std::uint32_t otherwise) const {
    const auto it = modes.find(path);
    return it == modes.end() ? otherwise : it->second;
  }

  [[nodiscard]] Bytes data_directory_tar() const {
    Bytes tar;
    if (sends_label) {
      write_tar_entry(tar, "backup_label", '0', 0600, time, as_bytes(sent_label_text()));
    }
    if (!tablespaces.empty()) {
      write_tar_entry(tar, "tablespace_map", '0', 0600, time, as_bytes(tablespace_map_text()));
    }
    for (const auto& path : directories) {
      write_tar_entry(tar, path, '5', mode_of(path, 0700), time, {});
    }
    for (const auto& [path, content] : files) {
      if (path == "global/pg_control") continue;
      const auto [sent_path, sent_content] = sent(path, content);
      write_tar_entry(tar, sent_path, '0', mode_of(path, 0600), time, sent_content);
    }
    // The server sends it last.
    if (const auto it = files.find("global/pg_control"); it != files.end()) {
      write_tar_entry(tar, it->first, '0', mode_of(it->first, 0600), time, it->second);
    }
    return tar;
  }

  void in_pieces(ByteView bytes, const std::function<void(ByteView)>& sink) const {
    while (!bytes.empty()) {
      const auto piece = bytes.first(std::min(piece_bytes, bytes.size()));
      sink(piece);
      bytes = bytes.subspan(piece.size());
    }
  }

  void send(const std::optional<Tablespace>& tablespace, ByteView tar,
            const BaseBackupEvents& events) const {
    events.archive(tablespace);
    in_pieces(tar, events.archive_data);
    events.archive_end();
  }

  std::map<std::string, Bytes> before_;  // what the backup before sent
};

}  // namespace walvault
