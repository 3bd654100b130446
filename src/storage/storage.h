// Where a repository's bytes live: a flat map from key to immutable object.
// Every implementation passes tests/contract/storage_contract.h.
//
// A key is one to sixteen parts joined by '/', each of 1 to 255 characters
// from [A-Za-z0-9._-] and not starting with a dot. Other keys are a bug of the
// caller: Error{internal}.
//
// Thread safety: all operations may be called from any thread at once.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"

namespace walvault {

// `offset` and `length` in bytes. What reaches past the end of an object is
// cut, so a range that lies behind the end is empty.
struct ByteRange {
  std::uint64_t offset = 0;
  std::uint64_t length = std::numeric_limits<std::uint64_t>::max();
};

inline constexpr ByteRange whole_object{};

// The content of an object to be written: parts that lie in memory one after
// another. It can be read any number of times, as a repeated request needs.
// Does not own the bytes.
class ObjectContent {
 public:
  ObjectContent(std::initializer_list<ByteView> parts) : parts_(parts) {}
  explicit ObjectContent(std::vector<ByteView> parts) : parts_(std::move(parts)) {}
  // NOLINTBEGIN(google-explicit-constructor): one part is the usual content
  ObjectContent(ByteView bytes) : parts_{bytes} {}
  ObjectContent(const Bytes& bytes) : parts_{ByteView(bytes)} {}
  // NOLINTEND(google-explicit-constructor)

  [[nodiscard]] const std::vector<ByteView>& parts() const { return parts_; }
  [[nodiscard]] std::uint64_t size() const {
    std::uint64_t sum = 0;
    for (const auto part : parts_) sum += part.size();
    return sum;
  }

 private:
  std::vector<ByteView> parts_;
};

struct ObjectInfo {
  std::string key;
  std::uint64_t size = 0;
};

// Whether the bytes of an object are what they should be: its digest fits.
using IsWhole = std::function<bool(ByteView)>;

enum class Replaced {
  replaced,
  is_whole,  // what is there is right: nothing changed
  absent,    // nothing is there, and nothing was put
};

class Storage {
 public:
  virtual ~Storage() = default;

  // True: the object was written. False: `key` was already there and nothing
  // changed; it may be this very call's doing, when an earlier try of it went
  // through and its answer was lost. After either answer the object under
  // `key` survives power loss, whoever wrote it. Never leaves part of an
  // object under `key`.
  // Throws Error{unavailable} if neither can be said.
  [[nodiscard]] virtual bool put_if_absent(std::string_view key, const ObjectContent& content) = 0;

  // nullopt: the key is not there. Throws Error{unavailable} when that cannot
  // be said: a store that is out of reach, gone or forbidden is not an absence.
  [[nodiscard]] virtual std::optional<Bytes> find(std::string_view key,
                                                  ByteRange range = whole_object) = 0;
  [[nodiscard]] virtual std::optional<std::uint64_t> find_size(std::string_view key) = 0;

  // Calls `each` for every object whose key starts with `prefix`, in ascending order of keys.
  // It may be empty, and may end in the middle of a part: "verified/ab". Shows at least what was
  // put before the call and not removed.
  virtual void list(std::string_view prefix,
                    const std::function<void(const ObjectInfo&)>& each) = 0;

  // The names directly below `prefix` (a whole number of parts ending in '/', or empty), without
  // what lies deeper: the parts that follow it in any key, each once, ascending.
  [[nodiscard]] virtual std::vector<std::string> list_names(std::string_view prefix) = 0;

  // Removes objects; a key that is not there is no error. Once it returns, the
  // removal survives power loss.
  virtual void remove(const std::vector<std::string>& keys) = 0;

  // Before somebody relies on objects that others have put: once it returns, those of them that
  // are there survive power loss. In object stores whatever can be read does.
  virtual void settle(const std::vector<std::string>& keys) = 0;

  // The one exception to "never changed": puts right bytes in the place of an object that is
  // damaged. `content` must be right itself. The key shows the old bytes or the new ones at any
  // time; two who do it at once put the same. Once it answers `replaced`, the new ones survive
  // power loss. `is_whole` may mean that an earlier try of this call has mended it. What is removed
  // meanwhile may come back in a directory: the caller keeps gc away. Where a store keeps versions,
  // the damaged one stays as an older version.
  [[nodiscard]] virtual Replaced replace_damaged(std::string_view key, const ObjectContent& content,
                                                 const IsWhole& is_whole) = 0;

  // Removes what interrupted writes left behind before a time, which no listing
  // shows; returns the bytes. What a put is still at work on must be younger.
  virtual std::uint64_t remove_leftovers(Timestamp before) = 0;

  // Whether put_if_absent decides between two writers of one key at once. Where a
  // store cannot, nothing may be deleted beside running backups. May ask the store,
  // and throws then as find does.
  [[nodiscard]] virtual bool has_conditional_writes() = 0;

  // For people: where this is, as they would write it.
  [[nodiscard]] virtual std::string url() const = 0;
};

// Whether a name follows the rules for one part of a key.
[[nodiscard]] bool is_key_part(std::string_view part);

// Whether a text follows the rules for a key.
[[nodiscard]] bool is_key(std::string_view key);

// Error{internal} for a key that does not follow the rules above.
void check_key(std::string_view key);

}  // namespace walvault
