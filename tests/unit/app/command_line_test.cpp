#include "app/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/errors.h"

namespace walvault {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// A program with the commands "backup", "restore" and "repo init".
class AProgram : public testing::Test {
 protected:
  AProgram() {
    program_.add_global_options(globals_);
    auto& backup = program_.command("backup", "Takes a backup", [this] { ran_ = "backup"; });
    backup.option("--label", label_, "A label");
    backup.option("--note", notes_, "A note, as often as wanted");
    backup.flag("--fast", fast_, "Whether to checkpoint at once");
    backup.option("--format", format_, "The format");
    auto& restore = program_.command("restore", "Restores a backup", [this] { ran_ = "restore"; });
    restore.required_option("--target", target_, "Where to");
    restore.argument("backup", backup_id_, "Which one");
    auto& repo = program_.command("repo", "Looks after a repository");
    repo.command("init", "Creates a repository", [this] { ran_ = "repo init"; });
    repo.command("verify", "Checks a repository", [this] { ran_ = "repo verify"; });
  }

  std::optional<std::function<void()>> parse(std::vector<std::string> words) {
    std::string name = "walvault";
    std::vector<char*> argv = {name.data()};
    for (auto& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    return program_.parse(static_cast<int>(argv.size() - 1), argv.data());
  }

  // Parses and runs what was asked for.
  void run(const std::vector<std::string>& words) {
    const auto action = parse(words);
    ASSERT_TRUE(action);
    (*action)();
  }

  Error expect_refused(const std::vector<std::string>& words) {
    std::string line;
    for (const auto& word : words) line += " " + word;
    SCOPED_TRACE("walvault" + line);
    auto error = expect_error(ErrorKind::usage, [&] { (void)parse(words); });
    EXPECT_EQ(ran_, "");
    return error;
  }

  GlobalOptions globals_;
  std::optional<std::string> label_;
  std::vector<std::string> notes_;
  bool fast_ = false;
  std::string format_ = "whole";
  std::string target_;
  std::string backup_id_;
  std::string ran_;
  CommandLine program_{"walvault", "Backs PostgreSQL up"};
};

TEST_F(AProgram, ReturnsTheActionOfTheCommandWithoutRunningIt) {
  const auto action = parse({"backup"});
  EXPECT_EQ(ran_, "");
  ASSERT_TRUE(action);
  (*action)();
  EXPECT_EQ(ran_, "backup");
}

TEST_F(AProgram, RunsTheInnermostCommand) {
  run({"repo", "verify"});
  EXPECT_EQ(ran_, "repo verify");
}

TEST_F(AProgram, FillsWhatWasGiven) {
  run({"backup", "--label", "nightly", "--note", "one", "--note=two", "--fast", "--format", "tar"});
  EXPECT_EQ(label_, "nightly");
  EXPECT_THAT(notes_, ElementsAre("one", "two"));
  EXPECT_TRUE(fast_);
  EXPECT_EQ(format_, "tar");
}

TEST_F(AProgram, LeavesWhatWasNotGivenAsItWas) {
  run({"backup"});
  EXPECT_EQ(label_, std::nullopt);
  EXPECT_THAT(notes_, IsEmpty());
  EXPECT_FALSE(fast_);
  EXPECT_EQ(format_, "whole");
}

TEST_F(AProgram, TakesOneValueForEachTimeAnOptionIsGiven) {
  const auto error = expect_refused({"backup", "--note", "one", "two"});
  EXPECT_THAT(error.detail(), HasSubstr("two"));
}

TEST_F(AProgram, TakesArgumentsAndRequiredOptions) {
  run({"restore", "20261121T104100Z", "--target", "/srv/data"});
  EXPECT_EQ(backup_id_, "20261121T104100Z");
  EXPECT_EQ(target_, "/srv/data");
}

TEST_F(AProgram, RefusesACommandWithoutWhatItRequires) {
  EXPECT_THAT(expect_refused({"restore", "20261121T104100Z"}).detail(), HasSubstr("--target"));
  EXPECT_THAT(expect_refused({"restore", "--target", "/srv/data"}).detail(), HasSubstr("backup"));
  EXPECT_THAT(expect_refused({"restore"}).hint(), HasSubstr("walvault restore --help"));
  expect_refused({"restore", "a", "--target"});
  expect_refused({"restore", "a", "b", "--target", "/srv/data"});
}

TEST_F(AProgram, NamesTheNearestOptionForOneThatIsNotKnown) {
  EXPECT_EQ(expect_refused({"backup", "--lable", "x"}).hint(), "Did you mean --label?");
  EXPECT_EQ(expect_refused({"--clustr", "main", "backup"}).hint(), "Did you mean --cluster?");
  EXPECT_EQ(expect_refused({"backup", "--clustr=main"}).hint(), "Did you mean --cluster?");
}

TEST_F(AProgram, NamesTheNearestCommandForOneThatIsNotKnown) {
  EXPECT_EQ(expect_refused({"bakup"}).hint(), "Did you mean backup?");
  EXPECT_EQ(expect_refused({"repo", "verfy"}).hint(), "Did you mean verify?");
}

TEST_F(AProgram, PointsToTheHelpWhenNothingIsNear) {
  EXPECT_EQ(expect_refused({"--absolutely-unknown"}).hint(), "Try: walvault --help");
  EXPECT_EQ(expect_refused({"backup", "--absolutely-unknown"}).hint(),
            "Try: walvault backup --help");
  EXPECT_EQ(expect_refused({"repo", "init", "--absolutely-unknown"}).hint(),
            "Try: walvault repo init --help");
}

TEST_F(AProgram, SaysWhichCommandsThereAreWhenOneIsMissing) {
  const auto none = expect_refused({});
  EXPECT_THAT(none.message(), HasSubstr("command is missing"));
  EXPECT_THAT(none.detail(), HasSubstr("backup, restore, repo"));
  const auto inner = expect_refused({"repo"});
  EXPECT_THAT(inner.detail(), HasSubstr("init, verify"));
  EXPECT_EQ(inner.hint(), "Try: walvault repo --help");
}

TEST_F(AProgram, PrintsItsHelpAndRunsNothing) {
  testing::internal::CaptureStdout();
  EXPECT_FALSE(parse({"--help"}));
  const auto help = testing::internal::GetCapturedStdout();
  EXPECT_THAT(help, HasSubstr("Backs PostgreSQL up"));
  EXPECT_THAT(help, HasSubstr("Takes a backup"));
  EXPECT_THAT(help, HasSubstr("--repo"));
}

TEST_F(AProgram, PrintsTheHelpOfACommandThoughItsOptionsAreMissing) {
  testing::internal::CaptureStdout();
  EXPECT_FALSE(parse({"restore", "--help"}));
  const auto help = testing::internal::GetCapturedStdout();
  EXPECT_THAT(help, HasSubstr("Where to"));
  EXPECT_THAT(help, HasSubstr("Usage: walvault restore "));
  EXPECT_THAT(help, Not(HasSubstr("Takes a backup")));
}

TEST_F(AProgram, PrintsItsVersion) {
  testing::internal::CaptureStdout();
  EXPECT_FALSE(parse({"--version"}));
  EXPECT_THAT(testing::internal::GetCapturedStdout(), testing::MatchesRegex("walvault [0-9.]+\n"));
}

TEST_F(AProgram, TakesGlobalOptionsBeforeAndAfterTheCommand) {
  run({"--repo", "/before", "backup", "--cluster", "main", "--json", "--log-level", "debug"});
  EXPECT_EQ(globals_.repo, "/before");
  EXPECT_EQ(globals_.cluster, "main");
  EXPECT_EQ(globals_.config, std::nullopt);
  EXPECT_TRUE(globals_.json);
  EXPECT_FALSE(globals_.no_progress);
  EXPECT_EQ(globals_.log_level, "debug");

  run({"repo", "init", "--repo", "/after", "--no-progress"});
  EXPECT_EQ(globals_.repo, "/after");
  EXPECT_TRUE(globals_.no_progress);
}

TEST_F(AProgram, RefusesALogLevelThatIsNone) {
  expect_refused({"--log-level", "loud", "backup"});
  expect_refused({"backup", "--log-level", "loud"});
}

TEST(AProgramWithoutCommands, RunsItsAction) {
  bool ran = false;
  std::string file;
  CommandLine program("walvault-archive", "Archives one file");
  program.argument("file", file, "The file");
  program.action([&] { ran = true; });
  std::string words[] = {"walvault-archive", "pg_wal/000000010000000000000003"};
  char* argv[] = {words[0].data(), words[1].data(), nullptr};
  const auto action = program.parse(2, argv);
  ASSERT_TRUE(action);
  (*action)();
  EXPECT_TRUE(ran);
  EXPECT_EQ(file, "pg_wal/000000010000000000000003");
}

}  // namespace
}  // namespace walvault
