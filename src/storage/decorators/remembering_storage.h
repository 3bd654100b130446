// One look at a repository: what was listed is listed once, and small objects are
// read once, whole. For a command that shows what is there; never for one that
// writes beside others, who wait for no one's look.
//
// Where each request takes its time that is most of what such a command takes.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>

#include "storage/storage.h"

namespace walvault {

class RememberingStorage final : public Storage {
 public:
  // Of objects whose keys begin with one of `prefixes` the content is remembered, up to
  // `bytes_max` in all; what is more is asked for each time. `inner` must outlive this.
  RememberingStorage(Storage& inner, std::vector<std::string> prefixes,
                     std::uint64_t bytes_max = 64u << 20);

  // What was listed under a prefix answers for all that lies below it.
  //
  // What is put is listed from then on; removing and replacing end the look: all is forgotten.
  [[nodiscard]] bool put_if_absent(std::string_view key, const ObjectContent& content) override;
  void remove(const std::vector<std::string>& keys) override;
  std::uint64_t remove_leftovers(Timestamp before) override;
  void settle(const std::vector<std::string>& keys) override { inner_.settle(keys); }
  [[nodiscard]] Replaced replace_damaged(std::string_view key, const ObjectContent& content,
                                         const IsWhole& is_whole) override;

  [[nodiscard]] std::optional<Bytes> find(std::string_view key, ByteRange range) override;
  [[nodiscard]] std::optional<std::uint64_t> find_size(std::string_view key) override;
  void list(std::string_view prefix, const std::function<void(const ObjectInfo&)>& each) override;
  [[nodiscard]] std::vector<std::string> list_names(std::string_view prefix) override;
  [[nodiscard]] bool has_conditional_writes() override { return inner_.has_conditional_writes(); }
  [[nodiscard]] std::string url() const override { return inner_.url(); }

 private:
  using Objects = std::vector<ObjectInfo>;
  struct Part {
    std::shared_ptr<const Objects> list;
    std::span<const ObjectInfo> objects;  // of it
  };
  [[nodiscard]] std::optional<Part> known_list(std::string_view prefix);
  void forget();

  Storage& inner_;
  const std::vector<std::string> prefixes_;
  const std::uint64_t bytes_max_;
  std::mutex mutex_;
  std::map<std::string, Bytes, std::less<>> contents_;
  std::uint64_t bytes_ = 0;                                  // of them
  std::map<std::string, std::uint64_t, std::less<>> sizes_;  // of what was listed
  std::map<std::string, std::shared_ptr<const Objects>, std::less<>> lists_;
  std::map<std::string, std::vector<std::string>, std::less<>> names_;
};

}  // namespace walvault
