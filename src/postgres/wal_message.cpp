#include "postgres/wal_message.h"

#include "base/error.h"

namespace walvault {
namespace {

constexpr std::size_t data_header_bytes = 1 + 8 + 8 + 8;  // type, start, end of WAL, time
constexpr std::size_t keepalive_bytes = 1 + 8 + 8 + 1;    // type, end of WAL, time, reply wanted

std::uint64_t big_endian(ByteView bytes) {
  std::uint64_t value = 0;
  for (const auto byte : bytes.first(8)) value = value << 8 | byte;
  return value;
}

void put_big_endian(Bytes& out, std::uint64_t value) {
  for (int shift = 56; shift >= 0; shift -= 8) {
    out.push_back(static_cast<std::uint8_t>(value >> shift));
  }
}

}  // namespace

WalMessage parse_wal_message(ByteView message) {
  if (message.size() >= data_header_bytes && message[0] == 'w') {
    return {.start = {big_endian(message.subspan(1))},
            .data = message.subspan(data_header_bytes),
            .reply_wanted = false};
  }
  if (message.size() >= keepalive_bytes && message[0] == 'k') {
    return {.start = {big_endian(message.subspan(1))},
            .data = {},
            .reply_wanted = message[keepalive_bytes - 1] != 0};
  }
  throw Error(ErrorKind::corrupt, "the server sent a malformed WAL stream message",
              "It has " + std::to_string(message.size()) + " bytes" +
                  (message.empty() ? "." : " and type " + std::to_string(message[0]) + "."));
}

Bytes standby_status_message(Lsn received, Lsn durable) {
  Bytes out;
  out.push_back('r');
  put_big_endian(out, received.value);
  put_big_endian(out, durable.value);
  put_big_endian(out, 0);  // applied: nothing is
  put_big_endian(out, 0);  // this clock's time: no use is made of it
  out.push_back(1);        // an answer, please
  return out;
}

}  // namespace walvault
