#include "server/identify_cluster.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/errors.h"
#include "support/fake_server.h"

namespace walvault {
namespace {

using ::testing::HasSubstr;

FakeServer server_of(int version, const std::string& segment_size = "16MB") {
  FakeServer server;
  server.version = version;
  server.settings["wal_segment_size"] = segment_size;
  return server;
}

TEST(IdentifyCluster, KnowsEveryMajorAndSegmentSize) {
  for (int major = 13; major <= 18; ++major) {
    auto server = server_of(major * 10000 + 3, "64MB");
    const auto identity = identify_cluster("main", server, Timestamp(std::chrono::seconds(5)));
    EXPECT_EQ(identity.name, "main");
    EXPECT_EQ(identity.postgres_major, major);
    EXPECT_EQ(identity.geometry.segment_bytes, 64u << 20);
    EXPECT_EQ(identity.system_identifier, test_system_identifier);
    EXPECT_EQ(identity.registered, Timestamp(std::chrono::seconds(5)));
  }
}

TEST(IdentifyCluster, RefusesOtherMajorsAndNamesThoseThatItKnows) {
  for (const int version : {120022, 190000, 90624}) {
    auto server = server_of(version);
    const auto error =
        expect_error(ErrorKind::usage, [&] { (void)identify_cluster("main", server, {}); });
    EXPECT_THAT(error.message(), HasSubstr(std::to_string(version / 10000)));
    EXPECT_THAT(error.detail(), HasSubstr("13 to 18"));
  }
}

TEST(IdentifyCluster, RefusesASegmentSizeThatPostgresDoesNotHave) {
  for (const auto* size : {"3MB", "2GB", ""}) {
    auto server = server_of(150018, size);
    (void)expect_error(ErrorKind::usage, [&] { (void)identify_cluster("main", server, {}); });
  }
}

}  // namespace
}  // namespace walvault
