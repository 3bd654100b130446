// Listings of an object store: pages, one after the other, that must be in order.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "storage/storage.h"

namespace walvault {

struct ListingPage {
  std::vector<ObjectInfo> objects;    // whole keys
  std::vector<std::string> prefixes;  // with the delimiter at their ends
  std::string next;                   // token of the next page; empty: this was the last
};

// Reads the page of a token; the first one's is empty.
using ReadPage = std::function<ListingPage(const std::string& token)>;

// All objects of a listing, as Storage::list gives them. `root` is what all keys of the repository
// begin with, and is cut off; `prefix` what was asked for below it. Error{unavailable} for a
// listing that is out of order, or does not end.
void list_objects(const std::string& root, std::string_view prefix, const ReadPage& read,
                  const std::function<void(const ObjectInfo&)>& each);

// The names right below a prefix, as Storage::list_names gives them; of a listing with a
// delimiter.
[[nodiscard]] std::vector<std::string> list_object_names(const std::string& root,
                                                         std::string_view prefix,
                                                         const ReadPage& read);

}  // namespace walvault
