#include "app/store_memory.h"

#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

#include "base/error.h"
#include "base/file.h"
#include "codec/sha256.h"

namespace walvault {
namespace {

std::chrono::seconds valid_for(StoreMemory::Fact fact) {
  return fact == StoreMemory::Fact::conditional_writes
             ? std::chrono::seconds(std::chrono::hours(24))
             : std::chrono::seconds(60);
}
constexpr std::size_t name_digits = 32;
constexpr std::string_view seen = "yes\n";

}  // namespace

StoreMemory::StoreMemory(const std::string& directory, const std::string& place)
    : cache_(directory),
      directory_(directory.empty()
                     ? ""
                     : directory + "/" + sha256(as_bytes(place)).hex().substr(0, name_digits)) {}

std::string StoreMemory::path_of(Fact fact) const {
  return directory_ + (fact == Fact::conditional_writes ? "/conditional-writes" : "/out-of-reach");
}

bool StoreMemory::knows(Fact fact, Timestamp now) const try {
  if (directory_.empty()) return false;
  const auto path = path_of(fact);
  const auto status = find_status(path);
  // Only what this user wrote.
  if (!status || status->st_uid != ::geteuid()) return false;
  const Timestamp written(std::chrono::seconds(status->st_mtim.tv_sec));
  return written <= now && now - written <= valid_for(fact) && as_text(read_file(path, 16)) == seen;
} catch (const Error&) {
  return false;
}

void StoreMemory::keep(Fact fact) const try {
  if (directory_.empty()) return;
  for (const auto& directory : {parent_directory(cache_), cache_, directory_}) {
    (void)::mkdir(directory.c_str(), 0700);
  }
  const auto path = path_of(fact);
  const auto unfinished = path + ".part-" + std::to_string(::getpid());
  {
    const auto file = open_file(unfinished, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW);
    write_all(file, as_bytes(seen), unfinished);
  }
  if (::rename(unfinished.c_str(), path.c_str()) != 0) ::unlink(unfinished.c_str());
} catch (const Error&) {
  // It is asked again, then.
}

std::string default_cache_directory() {
  if (::geteuid() == 0) return "/var/cache/walvault";
  for (const auto& [name, below] :
       {std::pair("XDG_CACHE_HOME", "/walvault"), std::pair("HOME", "/.cache/walvault")}) {
    const char* const value = std::getenv(name);
    if (value != nullptr && *value == '/') return std::string(value) + below;
  }
  // What starts a server need not say where its user is at home.
  struct passwd entry {};
  struct passwd* found = nullptr;
  std::array<char, 4096> room{};
  if (::getpwuid_r(::geteuid(), &entry, room.data(), room.size(), &found) == 0 &&
      found != nullptr && found->pw_dir != nullptr && *found->pw_dir == '/') {
    return std::string(found->pw_dir) + "/.cache/walvault";
  }
  return "";
}

}  // namespace walvault
