#include "postgres/control_file.h"

#include <algorithm>
#include <string>

#include "base/error.h"
#include "codec/crc32c.h"

namespace walvault {
namespace {

Error damaged(std::string detail) {
  return {ErrorKind::corrupt, "pg_control is damaged", std::move(detail)};
}

// Byte offsets within ControlFileData; the same from 13 to 18. 18 inserted
// default_char_signedness behind data_checksum_version and thereby moved only
// the CRC.
namespace at {
constexpr std::size_t system_identifier = 0;
constexpr std::size_t control_version = 8;
constexpr std::size_t catalog_version = 12;
constexpr std::size_t checkpoint = 32;
constexpr std::size_t redo = 40;
constexpr std::size_t timeline = 48;
constexpr std::size_t next_full_xid = 64;
constexpr std::size_t max_connections = 180;
constexpr std::size_t block_bytes = 216;
constexpr std::size_t data_checksum_version = 252;
constexpr std::size_t crc_until_17 = 288;
constexpr std::size_t crc_from_18 = 292;
}  // namespace at

}  // namespace

ControlFile parse_control_file(ByteView content) {
  constexpr std::size_t bytes_needed = at::crc_from_18 + 4;
  if (content.size() < bytes_needed) {
    throw damaged("It has " + std::to_string(content.size()) + " bytes.");
  }
  const auto reader_at = [&](std::size_t offset) {
    return ByteReader(content.subspan(offset), "pg_control");
  };
  ControlFile control;
  control.system_identifier = reader_at(at::system_identifier).u64();
  control.control_version = reader_at(at::control_version).u32();
  control.catalog_version = reader_at(at::catalog_version).u32();
  std::size_t crc_offset = at::crc_until_17;
  switch (control.control_version) {
    case 1300:
    case 1700: break;
    case 1800: crc_offset = at::crc_from_18; break;
    default:
      throw damaged("Its version number " + std::to_string(control.control_version) +
                    " is none of PostgreSQL 13 to 18.");
  }
  const auto stored_crc = reader_at(crc_offset).u32();
  const auto crc = crc32c(content.first(crc_offset));
  if (stored_crc != crc) {
    throw damaged("Its CRC is " + std::to_string(stored_crc) + ", its content gives " +
                  std::to_string(crc) + ".");
  }

  control.checkpoint = {reader_at(at::checkpoint).u64()};
  control.redo = {reader_at(at::redo).u64()};
  control.timeline = {reader_at(at::timeline).u32()};
  std::ranges::copy(content.subspan(at::redo, checkpoint_copy_bytes),
                    control.checkpoint_copy.begin());
  control.next_full_xid = reader_at(at::next_full_xid).u64();
  auto settings = reader_at(at::max_connections);
  control.max_connections = settings.u32();
  control.max_worker_processes = settings.u32();
  control.max_wal_senders = settings.u32();
  control.max_prepared_transactions = settings.u32();
  control.max_locks_per_transaction = settings.u32();
  auto sizes = reader_at(at::block_bytes);
  control.block_bytes = sizes.u32();
  control.relation_segment_blocks = sizes.u32();
  control.wal_block_bytes = sizes.u32();
  control.wal_segment_bytes = sizes.u32();
  control.data_checksum_version = reader_at(at::data_checksum_version).u32();
  return control;
}

}  // namespace walvault
