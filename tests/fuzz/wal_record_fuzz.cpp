// Arbitrary bytes as one record of each major, its checksum taken to be right.
#include <cstddef>
#include <cstdint>

#include "base/error.h"
#include "postgres/wal_record.h"

namespace {

using namespace walvault;

void read(ByteView input) {
  if (input.size() < 1 + wal_record_header_bytes) return;
  const int major = 13 + input[0] % 6;
  const auto bytes = input.subspan(1);
  WalRecord record;
  record.start = {0x1000028};
  record.length = static_cast<std::uint32_t>(bytes.size());
  ByteReader in(bytes, "a fuzzed record");
  (void)in.u32();
  record.xid = in.u32();
  record.previous = {in.u64()};
  record.info = in.u8();
  record.manager = static_cast<ResourceManager>(in.u8());
  record.bytes = bytes;
  WalRecordParts parts;
  const auto attempt = [](auto&& call) {
    try {
      call();
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::corrupt) __builtin_trap();
    }
  };
  attempt([&] {
    parse_wal_record(record, major, parts);
    (void)transaction_record(record, parts.main, major);
  });
  attempt([&] { (void)transaction_glimpse(record.bytes); });
  attempt([&] { (void)first_relation(record, major); });
  attempt([&] { (void)restore_point_in(record.bytes, record.start); });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  read({data, size});
  return 0;
}
