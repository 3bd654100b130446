// A Storage whose answers are kept in a LocalCache: where each request takes its time.
// For commands that look at what is there; never for one that deletes, or that proves
// what is stored.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "storage/decorators/local_cache.h"
#include "storage/storage.h"

namespace walvault {

struct CachePolicy {
  // Objects whose keys begin so never change, and are asked for by who has seen them
  // listed: their content is believed whenever it is known.
  std::vector<std::string> lasting = {};
  // Whether such an answer is whole; what is damaged is asked for each time, since it may be
  // mended. Not called for what is recent.
  std::function<bool(std::string_view key, ByteRange range, ByteView content)> is_whole = {};
  // What was found and listed below these is believed for so long. No absence is, but of all
  // names below some of these.
  std::vector<std::string> recent = {};
  std::chrono::seconds recent_for{60};
  std::vector<std::string> may_be_empty = {};
};

// Thread-safe.
class CachingStorage final : public Storage {
 public:
  CachingStorage(std::unique_ptr<Storage> inner, LocalCache cache, CachePolicy policy);

  [[nodiscard]] bool put_if_absent(std::string_view key, const ObjectContent& content) override {
    return inner_->put_if_absent(key, content);
  }
  [[nodiscard]] std::optional<Bytes> find(std::string_view key, ByteRange range) override;
  [[nodiscard]] std::optional<std::uint64_t> find_size(std::string_view key) override {
    return inner_->find_size(key);
  }
  void list(std::string_view prefix, const std::function<void(const ObjectInfo&)>& each) override {
    inner_->list(prefix, each);
  }
  [[nodiscard]] std::vector<std::string> list_names(std::string_view prefix) override;
  void remove(const std::vector<std::string>& keys) override { inner_->remove(keys); }
  void settle(const std::vector<std::string>& keys) override { inner_->settle(keys); }
  [[nodiscard]] Replaced replace_damaged(std::string_view key, const ObjectContent& content,
                                         const IsWhole& is_whole) override {
    return inner_->replace_damaged(key, content, is_whole);
  }
  std::uint64_t remove_leftovers(Timestamp before) override {
    return inner_->remove_leftovers(before);
  }
  [[nodiscard]] bool has_conditional_writes() override { return inner_->has_conditional_writes(); }
  [[nodiscard]] std::string url() const override { return inner_->url(); }

 private:
  std::unique_ptr<Storage> inner_;
  const LocalCache cache_;
  const CachePolicy policy_;
};

}  // namespace walvault
