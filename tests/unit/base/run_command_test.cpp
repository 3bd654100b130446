#include "base/run_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/errors.h"

namespace walvault {
namespace {

using std::chrono::seconds;
using testing::HasSubstr;

Error refused(const std::string& command, seconds timeout = seconds(20)) {
  return expect_error(ErrorKind::unavailable, [&] { (void)run_command(command, timeout, 1000); });
}

TEST(RunCommand, GivesWhatItPrints) {
  EXPECT_EQ(run_command("printf 'a\\nb'; printf c", seconds(20), 1000), "a\nbc");
  EXPECT_EQ(run_command("true", seconds(20), 1000), "");
}

TEST(RunCommand, SaysHowItFailed) {
  EXPECT_THAT(refused("exit 3").detail(), HasSubstr("3"));
  EXPECT_THAT(refused("kill -9 $$").detail(), HasSubstr("signal"));
  EXPECT_THAT(refused("no-such-program-anywhere 2>/dev/null").detail(), HasSubstr("127"));
}

TEST(RunCommand, EndsOneThatPrintsTooMuch) {
  EXPECT_THAT(refused("yes").detail(), HasSubstr("more than 1000"));
}

TEST(RunCommand, EndsOneThatTakesTooLongAndWhatItStarted) {
  const auto began = std::chrono::steady_clock::now();
  EXPECT_THAT(refused("sleep 60 & sleep 60", seconds(1)).detail(), HasSubstr("1 s"));
  EXPECT_THAT(refused("exec >&-; sleep 60", seconds(1)).detail(), HasSubstr("1 s"));
  EXPECT_LT(std::chrono::steady_clock::now() - began, seconds(30));
}

}  // namespace
}  // namespace walvault
