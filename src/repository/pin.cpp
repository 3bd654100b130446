#include "repository/pin.h"

#include "repository/object_table.h"
#include "repository/root_copy.h"

namespace walvault {

Bytes encode_pin(const Pin& pin) {
  ByteWriter out;
  out.string(pin.root_key);
  out.time(pin.created);
  pin.may_borrow.write(out);
  return out.take();
}

Pin decode_pin(ByteView payload) {
  ByteReader in(payload, "a writer's pin");
  Pin pin;
  pin.root_key = in.string();
  pin.created = in.time();
  pin.may_borrow = PackTable::read(in);
  in.expect_end();
  return pin;
}

std::string pin_key(const WriterId& writer, std::uint32_t number) {
  return std::string(prefix_of(ObjectPlace::pins)) + writer.text() + "/" + std::to_string(number);
}

std::vector<StoredPin> list_pins(const Repository& repository) {
  std::vector<StoredPin> pins;
  std::vector<std::string> keys;
  repository.storage().list(prefix_of(ObjectPlace::pins),
                            [&](const ObjectInfo& object) { keys.push_back(object.key); });
  for (auto& key : keys) {
    // Gone since it was listed: its writer was given up.
    const auto payload = repository.find_sealed(ObjectKind::pin, key);
    if (!payload) continue;
    const auto writer = WriterId::in_key(key);
    pins.push_back({.key = std::move(key), .writer = writer, .pin = decode_pin(*payload)});
  }
  return pins;
}

bool is_live(const Repository& repository, const Pin& pin) {
  auto& storage = repository.storage();
  // In this order: a deletion is recorded before the root goes.
  if (storage.find_size(pin.root_key) || storage.find_size(deletion_key(pin.root_key)))
    return false;
  // A root that is lost was committed: what it needs is kept because of its copy.
  return !pin.root_key.starts_with(prefix_of(ObjectPlace::backups)) ||
         !storage.find_size(root_copy_key(pin.root_key));
}

std::string deletion_key(std::string_view root_key) {
  const auto first = root_key.find('/');
  const auto last = root_key.rfind('/');
  return std::string(prefix_of(ObjectPlace::deleted)) +
         std::string(root_key.substr(first + 1, last - first - 1));
}

}  // namespace walvault
