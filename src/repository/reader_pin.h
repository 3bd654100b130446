// Holds the packs that a long reader needs, so that no gc deletes them while it
// reads: a pin as a writer has one, under a root key of ObjectPlace::readers,
// at which no root will ever be.
#pragma once

#include <string>

#include "base/clock.h"
#include "repository/repository.h"
#include "repository/tree.h"

namespace walvault {

// A reader that is killed leaves its pin; gc gives it up as it does a writer. What
// was chosen for deletion before the pin is not held by it: a reader looks for its
// root behind the pin, and may in a rare case still find packs gone.
class ReaderPin {
 public:
  // `reader` as a writer's id; `number` tells several of its pins apart. The
  // repository must outlive the pin. Error{unavailable} where it cannot be put.
  ReaderPin(const Repository& repository, Clock& clock, const RandomId& reader,
            std::uint32_t number, const std::string& cluster, const PackTable& packs);
  ReaderPin(const ReaderPin&) = delete;
  ReaderPin& operator=(const ReaderPin&) = delete;
  // Takes the pin away; that this fails is no error.
  ~ReaderPin();

 private:
  const Repository& repository_;
  std::string key_;
};

}  // namespace walvault
