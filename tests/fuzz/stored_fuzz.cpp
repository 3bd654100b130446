// Arbitrary bytes as what the catalog stores; the first byte chooses what. Of a
// summary the checksum is made right, so that what lies behind it is read.
#include <cstddef>
#include <cstdint>

#include "catalog/records/accepted_gap.h"
#include "catalog/records/backup_info.h"
#include "catalog/records/catalogue_snapshot.h"
#include "catalog/records/left_timeline.h"
#include "catalog/records/timeline_branch.h"
#include "catalog/wal/stored_summary.h"
#include "catalog/wal/wal_ledger.h"
#include "catalog/wal/wal_object.h"
#include "codec/crc32c.h"
#include "fuzz/by_first_byte.h"
#include "postgres/timeline_history.h"

namespace {

using namespace walvault;

void decode(std::uint8_t what, ByteView bytes) {
  switch (what % 9) {
    case 0: {
      ByteWriter whole;
      whole.raw(bytes);
      whole.u32(crc32c(bytes));
      const auto summary = decode_wal_summary(whole.bytes(), "fuzzed");
      if (!(decode_wal_summary(encode_wal_summary(summary), "fuzzed") == summary)) {
        __builtin_trap();
      }
      return;
    }
    case 1: (void)decode_wal_ledger(bytes, "fuzzed"); return;
    case 2: (void)parse_wal_object_header(ObjectCodec(), bytes, "fuzzed"); return;
    case 3: (void)parse_wal_object_trailer(bytes, "fuzzed"); return;
    case 4: (void)decode_catalogue(bytes); return;
    case 5: (void)TimelineHistory::parse({5}, bytes); return;
    case 6: (void)decode_backup_info(bytes); return;
    case 7: {
      const auto left = decode_left_timeline(bytes);
      if (!(decode_left_timeline(encode_left_timeline(left)) == left)) __builtin_trap();
      return;
    }
    default:
      (void)decode_accepted_gap(bytes);
      (void)decode_branch_opening({.timeline = {2}, .branch = 1}, bytes);
      return;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return read_by_first_byte(data, size, decode, true);
}
