#include "storage/decorators/caching_storage.h"

#include <algorithm>

namespace walvault {
namespace {

bool lies_below(std::string_view key, const std::vector<std::string>& prefixes) {
  return std::ranges::any_of(prefixes,
                             [&](const std::string& prefix) { return key.starts_with(prefix); });
}

// The name under which an answer is kept: no key has a blank in it.
std::string name_of(std::string_view key, ByteRange range) {
  std::string name("object ");
  name += key;
  if (range.offset == 0 && range.length == whole_object.length) return name;
  return name + " " + std::to_string(range.offset) + " " + std::to_string(range.length);
}

}  // namespace

CachingStorage::CachingStorage(std::unique_ptr<Storage> inner, LocalCache cache, CachePolicy policy)
    : inner_(std::move(inner)), cache_(std::move(cache)), policy_(std::move(policy)) {}

std::optional<Bytes> CachingStorage::find(std::string_view key, ByteRange range) {
  const bool is_lasting = lies_below(key, policy_.lasting);
  const bool is_recent = lies_below(key, policy_.recent);
  if (!is_lasting && !is_recent) return inner_->find(key, range);
  const auto name = name_of(key, range);
  auto known = is_lasting ? cache_.find(name) : cache_.find_recent(name, policy_.recent_for);
  if (known) return known;
  auto content = inner_->find(key, range);
  if (content && (!is_lasting || policy_.is_whole(key, range, *content))) {
    cache_.keep(name, *content);
  }
  return content;
}

std::vector<std::string> CachingStorage::list_names(std::string_view prefix) {
  if (!lies_below(prefix, policy_.recent)) return inner_->list_names(prefix);
  const auto name = "names " + std::string(prefix);
  const bool may_be_empty = lies_below(prefix, policy_.may_be_empty);
  std::vector<std::string> names;
  const auto known = cache_.find_recent(name, policy_.recent_for);
  if (known && (!known->empty() || may_be_empty)) {
    // A name has no line's end.
    const auto text = as_text(*known);
    for (std::size_t begin = 0; begin < text.size();) {
      const auto end = text.find('\n', begin);
      names.emplace_back(text.substr(begin, end - begin));
      begin = end == std::string_view::npos ? text.size() : end + 1;
    }
    return names;
  }
  names = inner_->list_names(prefix);
  std::string text;
  for (const auto& each : names) text.append(each).append("\n");
  if (!names.empty() || may_be_empty) cache_.keep(name, as_bytes(text));
  return names;
}

}  // namespace walvault
