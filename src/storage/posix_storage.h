// A repository in a directory of a POSIX file system, local or networked.
//
// put_if_absent, in this order, because each step relies on the one before:
//   1. the content goes into tmp/<writer>/<n>, which no listing shows;
//   2. fsync of that file: the content is durable before it has a name;
//   3. link() to the final name: atomic, and it fails if the name is taken;
//   4. fsync of the directory that got the name, and of every directory above
//      it that this call made, upwards: the name is durable;
//   5. unlink of the temporary name (a leftover is garbage, not damage).
// A crash before 3 leaves nothing under the key; after 3, the whole object.
//
// An object that is already there may have been linked by a process that died
// before its step 4, so false is answered only after fsync of that object and
// of its directories up to the root.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <mutex>
#include <set>

#include "base/clock.h"
#include "storage/storage.h"

namespace walvault {

class PosixStorage final : public Storage {
 public:
  static constexpr mode_t private_mode = 0700;

  // `root`: an absolute path. `writer` names this run's temporaries. `mode`: of
  // directories, of files without the bits to search; other than 0700, a group may read
  // or write, that of the root. Nothing is touched before the first operation.
  PosixStorage(std::string root, RandomId writer, mode_t mode = private_mode);
  ~PosixStorage() override;

  // Makes the root directory, if it is missing, and proves that the file
  // system can create names exclusively. Throws Error{unavailable} if not.
  void prepare();

  [[nodiscard]] bool put_if_absent(std::string_view key, const ObjectContent& content) override;
  [[nodiscard]] std::optional<Bytes> find(std::string_view key, ByteRange range) override;
  [[nodiscard]] std::optional<std::uint64_t> find_size(std::string_view key) override;
  void list(std::string_view prefix, const std::function<void(const ObjectInfo&)>& each) override;
  [[nodiscard]] std::vector<std::string> list_names(std::string_view prefix) override;
  void remove(const std::vector<std::string>& keys) override;
  std::uint64_t remove_leftovers(Timestamp before) override;
  [[nodiscard]] bool has_conditional_writes() override { return true; }
  [[nodiscard]] std::string url() const override { return root_; }

 private:
  [[nodiscard]] std::string path_of(std::string_view key) const;
  [[nodiscard]] std::string new_temporary();
  void write_temporary(const std::string& path, const ObjectContent& content) const;
  [[nodiscard]] bool claim_name(const std::string& temporary, const std::string& path) const;
  void expect_root() const;
  void make_name_durable(const std::string& directory);

  const std::string root_;
  const mode_t mode_;
  const std::string temporary_directory_;
  std::mutex mutex_;
  std::atomic<bool> temporary_directory_made_ = false;
  std::set<std::string> durable_directories_;
  std::atomic<std::uint64_t> temporaries_{0};
};

}  // namespace walvault
