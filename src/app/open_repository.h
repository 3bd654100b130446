// From a repository URL to a repository.
#pragma once

#include <memory>
#include <string>

#include "base/clock.h"
#include "repository/repository.h"
#include "storage/storage.h"

namespace walvault {

// The storage behind a URL, with retries around it. Error{usage} for a URL of
// an unknown scheme or a relative path.
[[nodiscard]] std::unique_ptr<Storage> open_storage(const std::string& url, RandomId writer);

// Likewise, and makes the directory of a new repository.
[[nodiscard]] std::unique_ptr<Storage> create_storage(const std::string& url, RandomId writer);

// A repository together with the storage that it lives in.
struct OpenRepository {
  std::unique_ptr<Storage> storage;
  Repository repository;
};
[[nodiscard]] OpenRepository open_repository(const std::string& url, RandomId writer);

}  // namespace walvault
