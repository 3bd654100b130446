#include "repository/unfinished.h"

#include <algorithm>
#include <functional>
#include <map>

#include "repository/object_table.h"
#include "repository/pin.h"

namespace walvault {
namespace {

struct Head {
  std::string root_key;  // that its writer would have committed
  Timestamp stored;
};

std::optional<Head> find_head(const Repository& repository, const std::string& key) {
  const auto prefix = repository.storage().find(key, {.offset = 0, .length = root_prefix_bytes});
  if (!prefix) return std::nullopt;
  const auto bytes = decode_root_head(repository.codec(), *prefix, key);
  ByteReader in(bytes, "what an unfinished backup left");
  Head head;
  head.root_key = in.string();
  head.stored = in.time();
  return head;
}

// Whether a writer came to its end, its backup deleted since or not.
std::optional<bool> did_commit(Storage& storage, const std::string& root_key) {
  const auto root = storage.find(root_key, {.offset = 0, .length = envelope_bytes});
  if (root) return !is_of_kind(*root, ObjectKind::tombstone);
  return storage.find_size(deletion_key(root_key)).has_value();
}

}  // namespace

std::vector<std::string> find_unfinished(const Repository& repository, std::string_view root_prefix,
                                         std::string_view after, std::size_t count_max) {
  auto& storage = repository.storage();
  // The one with the highest number of each writer, by what its keys begin with.
  std::map<std::string, std::string> newest;
  const auto list = [&]() -> std::optional<bool> {
    storage.list(prefix_of(ObjectPlace::unfinished), [&](const ObjectInfo& object) {
      auto& known = newest[object.key.substr(0, object.key.rfind('/'))];
      if (std::pair(object.key.size(), object.key) > std::pair(known.size(), known)) {
        known = object.key;
      }
    });
    return true;
  };
  (void)optional_source(list);
  std::vector<std::pair<Timestamp, std::string>> found;
  for (const auto& each : newest) {
    const auto& key = each.second;
    const auto head = optional_source([&] { return find_head(repository, key); });
    if (!head || !head->root_key.starts_with(root_prefix) || head->root_key <= after) continue;
    if (optional_source([&] { return did_commit(storage, head->root_key); }).value_or(true))
      continue;
    found.emplace_back(head->stored, key);
  }
  std::ranges::sort(found, std::greater());
  if (found.size() > count_max) found.resize(count_max);
  std::vector<std::string> keys;
  keys.reserve(found.size());
  for (auto& [stored, key] : found) keys.push_back(std::move(key));
  return keys;
}

std::string unfinished_key(const WriterId& writer, std::uint32_t number) {
  return std::string(prefix_of(ObjectPlace::unfinished)) + writer.text() + "/" +
         std::to_string(number);
}

Bytes encode_unfinished(const ObjectCodec& codec, Root so_far, const std::string& root_key,
                        Timestamp stored, std::string_view key) {
  ByteWriter head;
  head.string(root_key);
  head.time(stored);
  so_far.head = head.take();
  return encode_root(codec, so_far, key);
}

}  // namespace walvault
