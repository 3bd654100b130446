#include "storage/object/listing.h"

#include <algorithm>
#include <set>

#include "base/error.h"

namespace walvault {
namespace {

// Out of order, a listing would hide what was passed over.
void expect_order(const std::string& prefix, const std::string& key, const std::string& last) {
  if (key.starts_with(prefix) && (last.empty() || key > last)) return;
  throw Error(ErrorKind::unavailable, "the object store's listing is out of order",
              "\"" + key + "\" comes after \"" + last + "\", below \"" + prefix + "\".",
              "walvault needs a store that lists keys in ascending order.");
}

// A page without anything new and the same token would come for ever.
std::string next_token(const ListingPage& page, const std::string& token) {
  if (page.next.empty() || page.next != token) return page.next;
  throw Error(ErrorKind::unavailable, "the object store's listing does not end",
              "A page names itself as the next one.");
}

}  // namespace

void list_objects(const std::string& root, std::string_view prefix, const ReadPage& read,
                  const std::function<void(const ObjectInfo&)>& each) {
  const auto full = root + std::string(prefix);
  std::string token;
  std::string last;
  do {
    auto page = read(token);
    for (auto& object : page.objects) {
      expect_order(full, object.key, last);
      last = object.key;
      object.key.erase(0, root.size());
      // What others put here is not of this repository.
      if (is_key(object.key)) each(object);
    }
    token = next_token(page, token);
  } while (!token.empty());
}

std::vector<std::string> list_object_names(const std::string& root, std::string_view prefix,
                                           const ReadPage& read) {
  const auto full = root + std::string(prefix);
  std::set<std::string> names;
  std::string token;
  std::string last;
  do {
    auto page = read(token);
    auto found = std::move(page.prefixes);
    for (auto& object : page.objects) found.push_back(std::move(object.key));
    std::ranges::sort(found);
    if (!found.empty()) expect_order(full, found.front(), last);
    for (auto& key : found) {
      expect_order(full, key, {});
      last = key;
      key.erase(0, full.size());
      if (key.ends_with('/')) key.pop_back();
      if (is_key_part(key)) names.insert(std::move(key));
    }
    token = next_token(page, token);
  } while (!token.empty());
  return {names.begin(), names.end()};
}

}  // namespace walvault
