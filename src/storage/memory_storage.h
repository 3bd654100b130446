// A Storage in memory, for tests of everything above it. Its objects live as
// long as it does.
#pragma once

#include <map>
#include <mutex>

#include "storage/storage.h"

namespace walvault {

class MemoryStorage final : public Storage {
 public:
  [[nodiscard]] bool put_if_absent(std::string_view key, const ObjectContent& content) override;
  [[nodiscard]] std::optional<Bytes> find(std::string_view key, ByteRange range) override;
  [[nodiscard]] std::optional<std::uint64_t> find_size(std::string_view key) override;
  void list(std::string_view prefix, const std::function<void(const ObjectInfo&)>& each) override;
  [[nodiscard]] std::vector<std::string> list_names(std::string_view prefix) override;
  void remove(const std::vector<std::string>& keys) override;
  void settle(const std::vector<std::string>&) override {}
  [[nodiscard]] Replaced replace_damaged(std::string_view key, const ObjectContent& content,
                                         const IsWhole& is_whole) override;
  std::uint64_t remove_leftovers(Timestamp) override { return 0; }
  [[nodiscard]] bool has_conditional_writes() override { return true; }
  [[nodiscard]] std::string url() const override { return "memory:"; }

  // For tests that damage or exchange what is stored.
  void overwrite(std::string_view key, Bytes content);

 private:
  std::mutex mutex_;
  std::map<std::string, Bytes, std::less<>> objects_;
};

}  // namespace walvault
