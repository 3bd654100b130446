// A backup's WAL is put by others, who may have died before its names were durable.
#include "support/errors.h"
#include "unit/basebackup/base_backup_fixture.h"

namespace walvault {
namespace {

TEST_F(BaseBackupTest, IsNotCommittedBeforeTheNamesOfItsWalAreDurable) {
  archive_needed_wal(archive_);
  hooked_.before = [](std::string_view operation, std::string_view key) {
    if (operation != "settle" || !key.starts_with("wal/")) return;
    throw Error(ErrorKind::unavailable, "cannot sync");
  };
  EXPECT_EQ(refusal(), "unavailable");
}

}  // namespace
}  // namespace walvault
