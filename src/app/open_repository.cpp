#include "app/open_repository.h"

#include "base/error.h"
#include "base/file.h"
#include "storage/posix_storage.h"
#include "storage/retrying_storage.h"

namespace walvault {
namespace {

std::string directory_of(const std::string& url) {
  std::string path = url;
  if (path.starts_with("file://")) path.erase(0, 7);
  if (!path.starts_with('/')) {
    const auto scheme = path.find("://");
    throw Error(ErrorKind::usage, "\"" + url + "\" is not a repository",
                scheme == std::string::npos
                    ? "A repository on a directory is named by its absolute path."
                    : "The scheme \"" + path.substr(0, scheme) + "\" is not known.",
                "Write /path/to/repository or file:///path/to/repository.");
  }
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return path;
}

std::unique_ptr<Storage> with_retries(std::unique_ptr<Storage> storage) {
  return std::make_unique<RetryingStorage>(std::move(storage), system_clock());
}

}  // namespace

std::unique_ptr<Storage> open_storage(const std::string& url, RandomId writer) {
  return with_retries(std::make_unique<PosixStorage>(directory_of(url), writer));
}

std::unique_ptr<Storage> create_storage(const std::string& url, RandomId writer) {
  auto storage = std::make_unique<PosixStorage>(directory_of(url), writer);
  storage->prepare();
  return with_retries(std::move(storage));
}

OpenRepository open_repository(const std::string& url, RandomId writer) {
  auto storage = open_storage(url, writer);
  auto repository = Repository::open(*storage);
  return {.storage = std::move(storage), .repository = repository};
}

}  // namespace walvault
