#include "repository/reader_pin.h"

#include "repository/object_table.h"
#include "repository/pin.h"

namespace walvault {

ReaderPin::ReaderPin(const Repository& repository, Clock& clock, const RandomId& reader,
                     std::uint32_t number, const std::string& cluster, const PackTable& packs)
    : repository_(repository), key_(pin_key(reader, number)) {
  auto root_key = prefix_of(ObjectPlace::readers, cluster);
  root_key.append(to_hex(reader)).append("/").append(std::to_string(number));
  // A key of a fresh random reader is taken only by this call's own lost try.
  (void)repository_.put_sealed(
      ObjectKind::pin, key_,
      encode_pin({.root_key = root_key, .created = clock.now(), .may_borrow = packs}));
}

ReaderPin::~ReaderPin() {
  try {
    repository_.storage().remove({key_});
  } catch (...) {
    // Then gc does it, in its time.
  }
}

}  // namespace walvault
