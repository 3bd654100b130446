// What a repair did, and could not do; and the one way in which it writes.
#pragma once

#include <string>
#include <vector>

#include "storage/storage.h"

namespace walvault {

struct MendedObject {
  std::string key;
  std::string how;  // "taken from s3://off-site"
};

struct UnmendedObject {
  std::string key;
  std::string why;
};

struct RepairReport {
  std::vector<MendedObject> mended;  // or, with a dry run, would be
  std::vector<UnmendedObject> unmended;

  [[nodiscard]] bool is_whole() const { return unmended.empty(); }
};

// Puts right bytes where an object is missing, or fails `is_whole`. What is whole stays.
void put_mended(Storage& storage, const std::string& key, ByteView object, const IsWhole& is_whole);

}  // namespace walvault
