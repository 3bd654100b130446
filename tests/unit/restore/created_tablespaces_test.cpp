#include "restore/created_tablespaces.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "support/temporary_directory.h"
#include "support/test_data.h"

namespace walvault {
namespace {

namespace fs = std::filesystem;

TEST(CreatedTablespaces, NeedAPlaceThatIsFreeOrOurs) {
  const TemporaryDirectory directory;
  const auto place = directory.path("deep/fast");
  const std::vector<TablespaceCreation> created = {{.lsn = {0x100}, .oid = 1, .location = place}};
  const auto refusal = [&](const std::vector<std::string>& ours) {
    return error_of([&] { expect_free_places_for(created, ours); });
  };
  EXPECT_EQ(refusal({}), "nothing");
  make_places_for(created, {});
  ASSERT_TRUE(fs::is_directory(place));
  make_places_for(created, {});
  EXPECT_EQ(refusal({}), "nothing");
  std::ofstream(place + "/precious") << "x";
  EXPECT_EQ(refusal({}), "conflict");
  EXPECT_EQ(refusal({place}), "nothing");
}

TEST(CreatedTablespaces, CannotBeMapped) {
  const std::vector<TablespaceCreation> created = {{.lsn = {0x100}, .oid = 1, .location = "/a"}};
  EXPECT_EQ(error_of([&] { refuse_mappings_of(created, {{.from = "/b", .to = "/c"}}); }),
            "nothing");
  EXPECT_EQ(error_of([&] { refuse_mappings_of(created, {{.from = "/a", .to = "/c"}}); }),
            "conflict");
}

}  // namespace
}  // namespace walvault
