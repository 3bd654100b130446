// Backups of a server that sends what a test wants it to.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "basebackup/base_backup.h"
#include "support/fake_backup.h"
#include "support/hooked_storage.h"

namespace walvault {

class BaseBackupTest : public testing::Test {
 protected:
  BackupInfo back_up(const BaseBackupRequest& request = {}) {
    return walvault::back_up(archive_, server_, ++runs_, made_.clock, request);
  }
  // What a backup throws; and it must have left none behind.
  std::string refusal(const BaseBackupRequest& request = {}) {
    const auto before = roots();
    auto outcome = error_of([&] { (void)back_up(request); });
    EXPECT_EQ(roots(), before);
    return outcome;
  }
  [[nodiscard]] std::vector<std::string> roots() { return root_keys(made_.storage); }

  MemoryRepository made_;
  HookedStorage hooked_{made_.storage};
  Repository repository_ = Repository::open(hooked_);
  WalArchive archive_{repository_, test_cluster()};
  FakeServer server_;
  std::uint8_t runs_ = 0;
};

}  // namespace walvault
