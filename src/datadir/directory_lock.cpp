#include "datadir/directory_lock.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>

#include "base/error.h"

namespace walvault {

DirectoryLock::DirectoryLock(const std::string& path)
    : directory_(open_file(path, O_RDONLY | O_DIRECTORY)) {
  if (::flock(directory_.get(), LOCK_EX | LOCK_NB) == 0) return;
  // Where a file system has no locks, a restore goes on without one.
  if (errno != EWOULDBLOCK) return;
  throw Error(ErrorKind::conflict, "another restore is writing into \"" + path + "\"",
              "It holds a lock on the directory, which ends with it.",
              "Wait until it has ended, or name another directory.");
}

}  // namespace walvault
