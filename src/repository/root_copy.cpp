#include "repository/root_copy.h"

#include "repository/damage.h"
#include "repository/object_table.h"
#include "repository/tree.h"

namespace walvault {

std::string root_copy_key(std::string_view root_key) {
  const auto first = root_key.find('/');
  const auto last = root_key.rfind('/');
  return std::string(prefix_of(ObjectPlace::root_copies)) +
         std::string(root_key.substr(first + 1, last - first - 1));
}

std::string root_key_of_copy(std::string_view copy_key) {
  auto key = std::string(prefix_of(ObjectPlace::backups));
  return key.append(copy_key.substr(prefix_of(ObjectPlace::root_copies).size())).append("/1");
}

bool put_root_copy(const Repository& repository, const std::string& root_key, ByteView root) {
  try {
    (void)repository.put_sealed(ObjectKind::root_copy, root_copy_key(root_key), root);
    return true;
  } catch (const Error&) {
    return false;
  }
}

std::optional<Bytes> find_root_copy(const Repository& repository, const std::string& root_key) {
  return unless_damaged([&]() -> std::optional<Bytes> {
    auto root = repository.find_sealed(ObjectKind::root_copy, root_copy_key(root_key));
    if (root) (void)decode_root(repository.codec(), *root, root_key);
    return root;
  });
}

}  // namespace walvault
