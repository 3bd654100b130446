#include "datadir/running_server.h"

#include <gtest/gtest.h>

#include <fstream>

#include "support/process_in.h"
#include "support/temporary_directory.h"
#include "support/test_data.h"

namespace walvault {
namespace {

class RunningServerTest : public testing::Test {
 protected:
  void name_in_file(long pid) const {
    std::ofstream(directory_.path("postmaster.pid")) << pid << "\n/srv/pg\n";
  }
  [[nodiscard]] std::optional<std::string> found() const { return find_server(directory_.path()); }

  TemporaryDirectory directory_;
  TemporaryDirectory elsewhere_;
};

TEST_F(RunningServerTest, IsTheProcessOfItsFileThatWorksThere) {
  const ProcessIn server(directory_.path());
  // Negative: a single-user server's.
  for (const long pid : {long{server.pid()}, -long{server.pid()}}) {
    name_in_file(pid);
    ASSERT_TRUE(found());
    EXPECT_NE(found()->find(std::to_string(server.pid())), std::string::npos) << *found();
    const auto words = words_of_error([&] { expect_stopped(directory_.path()); });
    EXPECT_NE(words.find("running"), std::string::npos) << words;
    EXPECT_NE(words.find(std::to_string(server.pid())), std::string::npos) << words;
  }
}

// PostgreSQL itself starts over these.
TEST_F(RunningServerTest, IsNoProcessThatGotItsNumber) {
  const ProcessIn other(elsewhere_.path(), "postgres");
  const ProcessIn ended(directory_.path());
  ended.end();
  for (const long pid : {long{other.pid()}, long{ended.pid()}, 1L, long{::getpid()},
                         long{::getppid()}, 2147483000L, -2147483000L, 0L}) {
    name_in_file(pid);
    EXPECT_EQ(found(), std::nullopt) << pid;
  }
  for (const auto* const text : {"", "garbage", "99999999999999999999"}) {
    std::ofstream(directory_.path("postmaster.pid")) << text;
    EXPECT_EQ(found(), std::nullopt) << text;
  }
}

// In a container it has another number there; and somebody may have removed the file.
TEST_F(RunningServerTest, IsFoundWhateverItsFileSays) {
  const ProcessIn server(directory_.path(), "postgres");
  EXPECT_TRUE(found());
  name_in_file(1);
  EXPECT_TRUE(found());
  EXPECT_EQ(find_server(elsewhere_.path()), std::nullopt);
  EXPECT_EQ(find_server(directory_.path("missing")), std::nullopt);
}

TEST_F(RunningServerTest, IsNobodyElseWhoWorksThere) {
  const ProcessIn shell(directory_.path(), "bash");
  EXPECT_EQ(found(), std::nullopt);
}

}  // namespace
}  // namespace walvault
