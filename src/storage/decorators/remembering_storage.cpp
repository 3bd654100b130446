#include "storage/decorators/remembering_storage.h"

#include <algorithm>

namespace walvault {
namespace {

constexpr std::size_t listed_max = 200'000;  // objects in all, about 60 MiB
constexpr std::size_t names_max = 10'000;    // of one list

Bytes cut(const Bytes& content, ByteRange range) {
  const auto begin = std::min<std::uint64_t>(range.offset, content.size());
  const auto length = std::min<std::uint64_t>(range.length, content.size() - begin);
  const auto first = content.begin() + static_cast<std::ptrdiff_t>(begin);
  return {first, first + static_cast<std::ptrdiff_t>(length)};
}

}  // namespace

RememberingStorage::RememberingStorage(Storage& inner, std::vector<std::string> prefixes,
                                       std::uint64_t bytes_max)
    : inner_(inner), prefixes_(std::move(prefixes)), bytes_max_(bytes_max) {}

void RememberingStorage::forget() {
  const std::scoped_lock lock(mutex_);
  contents_.clear();
  bytes_ = 0;
  sizes_.clear();
  lists_.clear();
  names_.clear();
}

bool RememberingStorage::put_if_absent(std::string_view key, const ObjectContent& content) {
  const bool is_new = inner_.put_if_absent(key, content);
  const std::scoped_lock lock(mutex_);
  const auto holds = [&](const auto& known) { return key.starts_with(known.first); };
  std::erase_if(names_, holds);
  for (auto& known : lists_) {
    if (!holds(known)) continue;
    auto objects = std::make_shared<Objects>(*known.second);
    const auto place = std::ranges::lower_bound(*objects, key, {}, &ObjectInfo::key);
    if (place != objects->end() && place->key == key) continue;
    objects->insert(place, {.key = std::string(key), .size = content.size()});
    known.second = std::move(objects);
  }
  return is_new;
}

void RememberingStorage::remove(const std::vector<std::string>& keys) {
  forget();
  inner_.remove(keys);
}

Replaced RememberingStorage::replace_damaged(std::string_view key, const ObjectContent& content,
                                             const IsWhole& is_whole) {
  forget();
  return inner_.replace_damaged(key, content, is_whole);
}

std::uint64_t RememberingStorage::remove_leftovers(Timestamp before) {
  return inner_.remove_leftovers(before);
}

std::optional<Bytes> RememberingStorage::find(std::string_view key, ByteRange range) {
  const bool is_small = std::ranges::any_of(
      prefixes_, [&](const std::string& prefix) { return key.starts_with(prefix); });
  if (!is_small) return inner_.find(key, range);
  {
    const std::scoped_lock lock(mutex_);
    if (const auto it = contents_.find(key); it != contents_.end()) return cut(it->second, range);
    if (bytes_ >= bytes_max_) return inner_.find(key, range);
  }
  auto content = inner_.find(key, whole_object);
  // That it is not there is not remembered: nothing here hides what comes.
  if (!content) return std::nullopt;
  auto part = cut(*content, range);
  const std::scoped_lock lock(mutex_);
  const auto size = content->size();
  if (contents_.try_emplace(std::string(key), std::move(*content)).second) bytes_ += size;
  return part;
}

std::optional<std::uint64_t> RememberingStorage::find_size(std::string_view key) {
  {
    const std::scoped_lock lock(mutex_);
    if (const auto it = contents_.find(key); it != contents_.end()) return it->second.size();
    if (const auto it = sizes_.find(key); it != sizes_.end()) return it->second;
  }
  return inner_.find_size(key);
}

// The objects of a prefix out of a list that holds them; nullopt: there is none.
std::optional<RememberingStorage::Part> RememberingStorage::known_list(std::string_view prefix) {
  const std::scoped_lock lock(mutex_);
  // Of several the narrowest.
  auto it = lists_.upper_bound(prefix);
  while (it != lists_.begin()) {
    --it;
    if (!prefix.starts_with(it->first)) continue;
    const auto& all = *it->second;
    const auto first = std::ranges::lower_bound(all, prefix, {}, &ObjectInfo::key);
    const auto behind = std::partition_point(
        first, all.end(), [&](const ObjectInfo& object) { return object.key.starts_with(prefix); });
    return Part{.list = it->second, .objects = {first, behind}};
  }
  return std::nullopt;
}

void RememberingStorage::list(std::string_view prefix,
                              const std::function<void(const ObjectInfo&)>& each) {
  if (const auto known = known_list(prefix)) {
    for (const auto& object : known->objects) each(object);
    return;
  }
  Objects objects;
  bool fits = true;
  inner_.list(prefix, [&](const ObjectInfo& object) {
    fits = fits && objects.size() < listed_max;
    if (fits) objects.push_back(object);
    each(object);
  });
  if (!fits) return;
  const std::scoped_lock lock(mutex_);
  if (sizes_.size() + objects.size() > listed_max) return;
  for (const auto& object : objects) sizes_[object.key] = object.size;
  lists_.try_emplace(std::string(prefix), std::make_shared<Objects>(std::move(objects)));
}

std::vector<std::string> RememberingStorage::list_names(std::string_view prefix) {
  if (const auto known = known_list(prefix)) {
    std::vector<std::string> names;
    for (const auto& object : known->objects) {
      const auto rest = std::string_view(object.key).substr(prefix.size());
      auto name = rest.substr(0, rest.find('/'));
      if (names.empty() || names.back() != name) names.emplace_back(name);
    }
    // Of keys '-' sorts before what ends a part.
    std::ranges::sort(names);
    names.erase(std::unique(names.begin(), names.end()), names.end());
    return names;
  }
  {
    const std::scoped_lock lock(mutex_);
    if (const auto it = names_.find(prefix); it != names_.end()) return it->second;
  }
  auto names = inner_.list_names(prefix);
  const std::scoped_lock lock(mutex_);
  if (names.size() <= names_max) names_.try_emplace(std::string(prefix), names);
  return names;
}

}  // namespace walvault
