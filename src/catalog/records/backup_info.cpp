#include "catalog/records/backup_info.h"

#include "base/error.h"
#include "repository/object_table.h"
#include "repository/tree.h"

namespace walvault {
namespace {

// The one generation that exists so far; a compaction may add higher ones.
constexpr std::string_view first_generation = "/1";
// Each version adds to the fields of the one before. A head is written in the first that
// has room for what it holds, so that older programs read all others.
constexpr std::uint16_t head_version_plain = 1;
constexpr std::uint16_t head_version_extended = 2;
constexpr std::uint16_t head_version_skipped = 3;

std::uint16_t version_for(const BackupInfo& info) {
  if (!info.skipped_files.empty()) return head_version_skipped;
  if (info.branch != 0 || !info.damaged_pages.empty()) return head_version_extended;
  return head_version_plain;
}

void write_texts(ByteWriter& out, const std::vector<std::string>& texts) {
  out.varint(texts.size());
  for (const auto& text : texts) out.string(text);
}

std::vector<std::string> read_texts(ByteReader& in, std::size_t count_max, const std::string& id) {
  const auto count = in.varint();
  if (count > count_max) {
    throw Error(ErrorKind::corrupt, "the head of backup " + id + " is damaged",
                "It lists too many damaged pages or skipped files.");
  }
  std::vector<std::string> texts;
  for (std::uint64_t i = 0; i < count; ++i) texts.push_back(in.string());
  return texts;
}

}  // namespace

std::string BackupInfo::postgres_version() const {
  return std::to_string(server_version / 10000) + "." + std::to_string(server_version % 10000);
}

std::string backup_root_key(const std::string& cluster, const std::string& id) {
  return prefix_of(ObjectPlace::backups, cluster) + id + std::string(first_generation);
}

std::string make_backup_id(Timestamp time, const RandomId& random) {
  auto text = to_rfc3339(time).substr(0, 19);
  std::erase_if(text, [](char c) { return c == '-' || c == ':'; });
  return text + "Z-" + to_hex(ByteView(random).first(2));
}

Bytes encode_backup_info(const BackupInfo& info) {
  ByteWriter out;
  const auto version = version_for(info);
  out.u16(version);
  out.string(info.id);
  out.string(info.cluster);
  out.u32(info.identity_number);
  out.string(info.label);
  out.u32(info.timeline.value);
  out.u64(info.start.value);
  out.u64(info.stop.value);
  out.time(info.start_time);
  out.time(info.stop_time);
  out.u32(static_cast<std::uint32_t>(info.server_version));
  out.u8(info.from_standby ? 1 : 0);
  out.string(info.host);
  out.string(info.data_directory);
  out.string(info.writer_version);
  out.string(info.parent_id);
  out.u32(info.sequence);
  const auto& control = info.control;
  out.u64(control.system_identifier);
  out.u32(control.control_version);
  out.u32(control.catalog_version);
  out.u64(control.checkpoint.value);
  out.u64(control.redo.value);
  out.u32(control.timeline.value);
  out.u64(control.next_full_xid);
  out.u32(control.max_connections);
  out.u32(control.max_worker_processes);
  out.u32(control.max_wal_senders);
  out.u32(control.max_prepared_transactions);
  out.u32(control.max_locks_per_transaction);
  out.u32(control.block_bytes);
  out.u32(control.relation_segment_blocks);
  out.u32(control.wal_block_bytes);
  out.u32(control.wal_segment_bytes);
  out.u32(control.data_checksum_version);
  out.varint(info.files);
  out.varint(info.size_bytes);
  out.varint(info.zero_bytes);
  out.varint(info.new_bytes);
  out.varint(info.stored_bytes);
  out.varint(static_cast<std::uint64_t>(info.duration.count()));
  if (version >= head_version_extended) {
    out.u32(info.branch);
    write_texts(out, info.damaged_pages);
  }
  if (version >= head_version_skipped) write_texts(out, info.skipped_files);
  return out.take();
}

BackupInfo decode_backup_info(ByteView head) {
  ByteReader in(head, "the head of a backup");
  const auto version = in.u16();
  if (version < head_version_plain || version > head_version_skipped) {
    throw Error(ErrorKind::conflict, "a backup was made by a newer version of walvault",
                "The version of its head is " + std::to_string(version) + ".",
                "Use that version of walvault, or a later one.");
  }
  BackupInfo info;
  info.id = in.string();
  info.cluster = in.string();
  info.identity_number = in.u32();
  info.label = in.string();
  info.timeline = {in.u32()};
  info.start = {in.u64()};
  info.stop = {in.u64()};
  info.start_time = in.time();
  info.stop_time = in.time();
  info.server_version = static_cast<int>(in.u32());
  info.from_standby = in.u8() != 0;
  info.host = in.string();
  info.data_directory = in.string();
  info.writer_version = in.string();
  info.parent_id = in.string();
  info.sequence = in.u32();
  auto& control = info.control;
  control.system_identifier = in.u64();
  control.control_version = in.u32();
  control.catalog_version = in.u32();
  control.checkpoint = {in.u64()};
  control.redo = {in.u64()};
  control.timeline = {in.u32()};
  control.next_full_xid = in.u64();
  control.max_connections = in.u32();
  control.max_worker_processes = in.u32();
  control.max_wal_senders = in.u32();
  control.max_prepared_transactions = in.u32();
  control.max_locks_per_transaction = in.u32();
  control.block_bytes = in.u32();
  control.relation_segment_blocks = in.u32();
  control.wal_block_bytes = in.u32();
  control.wal_segment_bytes = in.u32();
  control.data_checksum_version = in.u32();
  info.files = in.varint();
  info.size_bytes = in.varint();
  info.zero_bytes = in.varint();
  info.new_bytes = in.varint();
  info.stored_bytes = in.varint();
  info.duration = std::chrono::milliseconds(static_cast<std::int64_t>(in.varint()));
  if (version >= head_version_extended) {
    info.branch = in.u32();
    info.damaged_pages = read_texts(in, damage_texts_max, info.id);
  }
  if (version >= head_version_skipped)
    info.skipped_files = read_texts(in, skipped_texts_max, info.id);
  in.expect_end();
  return info;
}

}  // namespace walvault
