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
// A name that was linked is never withdrawn, also where step 4 fails: others may have seen
// it, and have said that it is safe, or deleted what it stands in for. The call fails, and
// whoever relies on the name syncs it himself: an object that is already there may have been
// linked by a process that died before its step 4, or whose step 4 failed, so false is
// answered only after fsync of that object and of its directories up to the root, and a sync of
// the file system, because what a failed fsync left undone a later one need not do.
// Either answer is given only if the file is the one that the key's path leads to.
//
// What is written or removed is reached from the root part by part, through no link: who
// may write into the repository must not lead a program of another user elsewhere.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <mutex>
#include <optional>
#include <set>
#include <utility>

#include "base/clock.h"
#include "base/directory.h"
#include "storage/posix_root.h"
#include "storage/storage.h"

namespace walvault {

class PosixStorage final : public Storage {
 public:
  // `root`: an absolute path. `writer` names this run's temporaries. `mode`: of
  // directories, of files without the bits to search; other than 0700, a group may read
  // or write, that of the root. Nothing is touched before the first operation.
  PosixStorage(std::string root, RandomId writer, mode_t mode = PosixRoot::private_mode);
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
  void settle(const std::vector<std::string>& keys) override;
  [[nodiscard]] Replaced replace_damaged(std::string_view key, const ObjectContent& content,
                                         const IsWhole& is_whole) override;
  [[nodiscard]] std::string url() const override { return root_.path(); }

 private:
  [[nodiscard]] std::string path_of(std::string_view key) const;
  [[nodiscard]] std::optional<FileDescriptor> find_listed(std::string_view prefix) const;
  void list_directory(std::string_view prefix, std::string_view begin,
                      const std::function<void(const ObjectInfo&)>& each);

  struct Temporary;
  [[nodiscard]] Temporary write_temporary(const ObjectContent& content);
  // Gives the temporary its final name.
  enum class Claim { made, taken, directory_gone };
  [[nodiscard]] static Claim claim_name(const Temporary& temporary, const FileDescriptor& directory,
                                        const std::string& name, const std::string& path);
  void expect_made(const PosixRoot::Way& way, std::string_view directory, const std::string& name,
                   const std::string& path);
  // False: what had the name has it no more.
  [[nodiscard]] bool make_existing_durable(const PosixRoot::Way& way, std::string_view directory,
                                           const std::string& name, const std::string& path);
  void make_name_durable(const PosixRoot::Way& way, std::string_view directory);
  // What a run that died left in its directory; returns the bytes.
  [[nodiscard]] std::uint64_t remove_leftovers_of(const FileDescriptor& directory,
                                                  const std::string& shown, Timestamp before) const;

  const PosixRoot root_;
  const std::string temporary_directory_;  // relative
  std::mutex mutex_;
  std::atomic<bool> temporary_directory_made_ = false;
  // Those whose names are durable, with their inodes: one that was made anew is another.
  std::set<std::pair<std::string, ino_t>> durable_directories_;
  std::atomic<std::uint64_t> temporaries_{0};
};

}  // namespace walvault
