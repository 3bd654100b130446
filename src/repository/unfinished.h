// What writers record of themselves for the run after them, in case they are killed: roots of
// what they have stored so far. Nobody relies on them, so whatever fails of them is as if it
// were not there.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "repository/repository.h"
#include "repository/tree.h"
#include "repository/writer_id.h"

namespace walvault {

// What writers left that were killed, or failed, before they committed a root whose key
// begins with `root_prefix` and sorts after `after`, the parent's: keys, the newest
// first, no more than `count_max`. What cannot be read is left out, whatever the reason.
[[nodiscard]] std::vector<std::string> find_unfinished(const Repository& repository,
                                                       std::string_view root_prefix,
                                                       std::string_view after,
                                                       std::size_t count_max);

// Under which key it lies. `number` from 1.
[[nodiscard]] std::string unfinished_key(const WriterId& writer, std::uint32_t number);

// Its bytes. `root_key`: that its writer would commit.
[[nodiscard]] Bytes encode_unfinished(const ObjectCodec& codec, Root so_far,
                                      const std::string& root_key, Timestamp stored,
                                      std::string_view key);

// Of what nobody relies on: nothing, where it cannot be had.
template <typename Find>
auto optional_source(const Find& find) -> decltype(find()) {
  try {
    return find();
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::internal) throw;
    return std::nullopt;
  }
}

}  // namespace walvault
