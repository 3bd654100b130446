// A Storage decorator that lets a test look at every call, and act between.
#pragma once

#include <functional>
#include <string>

#include "storage/storage.h"

namespace walvault {

// The hooks are called with the operation's name ("put", "find", "find_size",
// "list", "list_names", "remove", "settle", "replace",
// "has_conditional_writes") and its key or prefix. What `before` throws
// keeps the operation from happening; what `after` throws loses its answer.
class HookedStorage final : public Storage {
  template <typename Operation>
  auto hooked(std::string_view name, std::string_view key, Operation&& operation) {
    before(name, key);
    auto result = operation();
    after(name, key);
    return result;
  }

 public:
  using Hook = std::function<void(std::string_view operation, std::string_view key)>;

  explicit HookedStorage(Storage& inner) : inner_(inner) {}

  Hook before = [](std::string_view, std::string_view) {};
  Hook after = [](std::string_view, std::string_view) {};
  std::function<void(std::string_view key, ByteRange range)> before_read = {};

  bool put_if_absent(std::string_view key, const ObjectContent& content) override {
    return hooked("put", key, [&] { return inner_.put_if_absent(key, content); });
  }
  std::optional<Bytes> find(std::string_view key, ByteRange range) override {
    return hooked("find", key, [&] {
      if (before_read) before_read(key, range);
      return inner_.find(key, range);
    });
  }
  std::optional<std::uint64_t> find_size(std::string_view key) override {
    return hooked("find_size", key, [&] { return inner_.find_size(key); });
  }
  void list(std::string_view prefix, const std::function<void(const ObjectInfo&)>& each) override {
    before("list", prefix);
    inner_.list(prefix, each);
    after("list", prefix);
  }
  std::vector<std::string> list_names(std::string_view prefix) override {
    return hooked("list_names", prefix, [&] { return inner_.list_names(prefix); });
  }
  void remove(const std::vector<std::string>& keys) override {
    before("remove", keys.empty() ? std::string_view() : keys.front());
    inner_.remove(keys);
    after("remove", keys.empty() ? std::string_view() : keys.front());
  }
  void settle(const std::vector<std::string>& keys) override {
    before("settle", keys.empty() ? std::string_view() : keys.front());
    inner_.settle(keys);
  }
  Replaced replace_damaged(std::string_view key, const ObjectContent& content,
                           const IsWhole& is_whole) override {
    return hooked("replace", key, [&] { return inner_.replace_damaged(key, content, is_whole); });
  }
  std::uint64_t remove_leftovers(Timestamp time) override { return inner_.remove_leftovers(time); }
  bool has_conditional_writes() override {
    return hooked("has_conditional_writes", "", [&] { return inner_.has_conditional_writes(); });
  }
  std::string url() const override { return inner_.url(); }

 private:
  Storage& inner_;
};

}  // namespace walvault
