#include "storage/memory_storage.h"

#include <algorithm>

namespace walvault {

namespace {

Bytes joined(const ObjectContent& content) {
  Bytes bytes;
  bytes.reserve(content.size());
  for (const auto part : content.parts()) bytes.insert(bytes.end(), part.begin(), part.end());
  return bytes;
}

}  // namespace

bool MemoryStorage::put_if_absent(std::string_view key, const ObjectContent& content) {
  check_key(key);
  auto bytes = joined(content);
  const std::lock_guard lock(mutex_);
  return objects_.try_emplace(std::string(key), std::move(bytes)).second;
}

Replaced MemoryStorage::replace_damaged(std::string_view key, const ObjectContent& content,
                                        const IsWhole& is_whole) {
  check_key(key);
  auto bytes = joined(content);
  const std::lock_guard lock(mutex_);
  const auto it = objects_.find(key);
  if (it == objects_.end()) return Replaced::absent;
  if (is_whole(it->second)) return Replaced::is_whole;
  it->second = std::move(bytes);
  return Replaced::replaced;
}

std::optional<Bytes> MemoryStorage::find(std::string_view key, ByteRange range) {
  check_key(key);
  const std::lock_guard lock(mutex_);
  const auto it = objects_.find(key);
  if (it == objects_.end()) return std::nullopt;
  const auto begin = std::min<std::uint64_t>(range.offset, it->second.size());
  const auto length = std::min<std::uint64_t>(range.length, it->second.size() - begin);
  const auto first = it->second.begin() + static_cast<std::ptrdiff_t>(begin);
  return Bytes(first, first + static_cast<std::ptrdiff_t>(length));
}

std::optional<std::uint64_t> MemoryStorage::find_size(std::string_view key) {
  check_key(key);
  const std::lock_guard lock(mutex_);
  const auto it = objects_.find(key);
  if (it == objects_.end()) return std::nullopt;
  return it->second.size();
}

void MemoryStorage::list(std::string_view prefix,
                         const std::function<void(const ObjectInfo&)>& each) {
  std::vector<ObjectInfo> found;
  {
    const std::lock_guard lock(mutex_);
    for (auto it = objects_.lower_bound(prefix);
         it != objects_.end() && it->first.starts_with(prefix); ++it) {
      found.push_back({.key = it->first, .size = it->second.size()});
    }
  }
  for (const auto& object : found) each(object);
}

std::vector<std::string> MemoryStorage::list_names(std::string_view prefix) {
  std::vector<std::string> names;
  list(prefix, [&](const ObjectInfo& object) {
    auto name = object.key.substr(prefix.size());
    name.resize(std::min(name.find('/'), name.size()));
    if (names.empty() || names.back() != name) names.push_back(std::move(name));
  });
  // "a-b/x" sorts before "a/x", so equal names need not be neighbours.
  std::ranges::sort(names);
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

void MemoryStorage::remove(const std::vector<std::string>& keys) {
  const std::lock_guard lock(mutex_);
  for (const auto& key : keys) {
    check_key(key);
    objects_.erase(key);
  }
}

void MemoryStorage::overwrite(std::string_view key, Bytes content) {
  const std::lock_guard lock(mutex_);
  objects_.insert_or_assign(std::string(key), std::move(content));
}

}  // namespace walvault
