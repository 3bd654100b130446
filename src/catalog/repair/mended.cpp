#include "catalog/repair/mended.h"

namespace walvault {

void put_mended(Storage& storage, const std::string& key, ByteView object,
                const IsWhole& is_whole) {
  if (storage.replace_damaged(key, object, is_whole) == Replaced::absent) {
    (void)storage.put_if_absent(key, object);
  }
}

}  // namespace walvault
