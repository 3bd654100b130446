// Pins: what a running writer, reader or copy may need, and no gc deletes.
// docs/repository-format.md, "Deleting while others write".
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "repository/repository.h"
#include "repository/tree.h"
#include "repository/writer_id.h"

namespace walvault {

struct Pin {
  std::string root_key;  // that its writer will commit
  Timestamp created;
  PackTable may_borrow;
};
[[nodiscard]] Bytes encode_pin(const Pin& pin);
[[nodiscard]] Pin decode_pin(ByteView payload);

// `number` tells several pins of one writer apart.
[[nodiscard]] std::string pin_key(const WriterId& writer, std::uint32_t number);

// One that is stored.
struct StoredPin {
  std::string key;
  std::optional<WriterId> writer;  // nullopt: its key names none
  Pin pin;
};
// Of all writers, those included that are long done. Error{corrupt} for a damaged
// one: what it protects is not guessed.
[[nodiscard]] std::vector<StoredPin> list_pins(const Repository& repository);

// Whether the writer of a pin may still commit: its root key holds nothing, and
// it was not deleted after it was committed.
[[nodiscard]] bool is_live(const Repository& repository, const Pin& pin);

// Where it is recorded that a root was deleted on purpose: backups/main/ID/1 and
// deleted/main/ID.
[[nodiscard]] std::string deletion_key(std::string_view root_key);

}  // namespace walvault
