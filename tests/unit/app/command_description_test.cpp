#include "app/command_description.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdio.h>

#include <memory>

#include "base/file.h"
#include "support/temporary_directory.h"

namespace walvault {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

ProgramDescription example() {
  const CommandDescription add{
      .name = "add",
      .help = "Registers 'it': with a colon",
      .options = {{.name = "--pg", .help = "How to connect", .takes_value = true},
                  {.name = "--needed", .help = ".dots", .takes_value = true, .is_required = true}},
      .arguments = {{.name = "NAME", .help = "Its name"}},
      .commands = {}};
  const CommandDescription list{
      .name = "list", .help = "Lists", .options = {}, .arguments = {}, .commands = {}};
  const CommandDescription cluster{.name = "cluster",
                                   .help = "Clusters",
                                   .options = {},
                                   .arguments = {},
                                   .commands = {add, list}};
  return {.program = {.name = "wal-vault",
                      .help = "Backs up",
                      .options = {},
                      .arguments = {},
                      .commands = {cluster}},
          .global_options = {{.name = "--config", .help = "The file", .takes_value = true},
                             {.name = "--json", .help = "As JSON"}},
          .version = "1.2"};
}

// What a shell command prints.
std::string output_of(const std::string& command) {
  const std::unique_ptr<FILE, decltype(&::pclose)> pipe(::popen(command.c_str(), "r"), &::pclose);
  std::string text;
  for (int c = std::fgetc(pipe.get()); c != EOF; c = std::fgetc(pipe.get())) {
    text.push_back(static_cast<char>(c));
  }
  return text;
}

TEST(ManPage, HasEveryCommandAndOption) {
  const auto page = man_page(example());
  EXPECT_THAT(page, HasSubstr(".TH WAL\\-VAULT 1 \"\" \"walvault 1.2\""));
  EXPECT_THAT(page, HasSubstr(".SS wal\\-vault cluster add\n"));
  EXPECT_THAT(page, HasSubstr(".SS wal\\-vault cluster list\n"));
  EXPECT_THAT(page, Not(HasSubstr(".SS wal\\-vault cluster\n")));
  EXPECT_THAT(page, HasSubstr("\\fB\\-\\-pg\\fR \\fIPG\\fR\nHow to connect\n"));
  EXPECT_THAT(page, HasSubstr("\\fB\\-\\-json\\fR\nAs JSON\n"));
  EXPECT_THAT(page, HasSubstr("\n\\&.dots (required)\n")) << "a line that begins with a dot";
}

TEST(BashCompletion, OffersWhatFits) {
  const TemporaryDirectory directory;
  const auto path = directory.path("completion");
  write_all(open_file(path, O_WRONLY | O_CREAT), as_bytes(bash_completion(example())), path);
  const auto offered = [&](const std::string& words, int current) {
    return output_of("bash -c '. " + path + "; COMP_WORDS=(" + words + "); COMP_CWORD=" +
                     std::to_string(current) + "; _wal_vault; echo ${COMPREPLY[*]}'");
  };
  EXPECT_EQ(offered("wal-vault \"\"", 1), "cluster --config --json\n");
  EXPECT_EQ(offered("wal-vault cl", 1), "cluster\n");
  EXPECT_EQ(offered("wal-vault cluster \"\"", 2), "add list --config --json\n");
  EXPECT_EQ(offered("wal-vault --json cluster a", 3), "add\n");
  EXPECT_EQ(offered("wal-vault cluster add --n", 3), "--needed\n");
  EXPECT_EQ(offered("wal-vault cluster add --pg x --", 5), "--pg --needed --config --json\n");
  EXPECT_EQ(offered("wal-vault --config " + directory.path("compl"), 2), path + "\n");
}

TEST(ZshCompletion, NamesEveryCommandWithItsHelp) {
  const auto text = zsh_completion(example());
  EXPECT_THAT(text, HasSubstr("#compdef wal-vault\n"));
  EXPECT_THAT(text, HasSubstr("'cluster:Clusters'"));
  EXPECT_THAT(text, HasSubstr("'add:Registers '\\''it'\\''\\: with a colon'"));
  EXPECT_THAT(text, HasSubstr("'--needed:.dots'"));
}

}  // namespace
}  // namespace walvault
