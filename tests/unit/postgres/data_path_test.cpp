#include "postgres/data_path.h"

#include <gtest/gtest.h>

namespace walvault {
namespace {

TEST(DataPath, TellsDataFromSettingsLogsAndSockets) {
  for (const auto* path :
       {"base/16384", "base/5/1259.1", "global/pg_filenode.map", "pg_xact",
        "pg_multixact/offsets/0000", "PG_VERSION", "pg_tblspc/16385/PG_15_202209061/5/16400",
        "/srv/space/PG_13_202007201/5", "/data/PG_1/PG_15_202209061"}) {
    EXPECT_TRUE(holds_data(path)) << path;
  }
  for (const auto* path : {"postgresql.conf", ".s.PGSQL.5432", "log", "log/base/x", "basement",
                           "server.crt", "", "pg_tblspc/mine", "/srv/PG_space/x", "/srv/PG_"}) {
    EXPECT_FALSE(holds_data(path)) << path;
  }
}

TEST(DataPath, IsFoundInMessagesOfAnyLanguage) {
  EXPECT_EQ(path_in_message("skipping special file \"./base/16384\""), "base/16384");
  EXPECT_EQ(path_in_message("skipping special file \"./my \"own\" file\""), "my \"own\" file");
  EXPECT_EQ(path_in_message("skipping special file \"/srv/a b/PG_15_202209061/5/1\""),
            "/srv/a b/PG_15_202209061/5/1");
  EXPECT_EQ(path_in_message("lasse besondere Datei »./base/16384« aus"), "base/16384");
  EXPECT_EQ(path_in_message("特殊ファイル\"./base/5/1\"をスキップしています"), "base/5/1");
  EXPECT_EQ(path_in_message("ignore le fichier « ./base/5_fsm »"), "base/5_fsm");
  EXPECT_EQ(path_in_message("»/srv/PG_15_202209061/5«"), "/srv/PG_15_202209061/5");
  EXPECT_EQ(path_in_message("nothing of a file"), std::nullopt);
  EXPECT_EQ(path_in_message("\"./\""), std::nullopt);
  EXPECT_EQ(path_in_message("\""), std::nullopt);
  EXPECT_EQ(path_in_message(""), std::nullopt);
}

}  // namespace
}  // namespace walvault
