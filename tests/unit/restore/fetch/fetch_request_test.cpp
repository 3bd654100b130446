#include "restore/fetch/fetch_request.h"

#include <gtest/gtest.h>
#include <stdio.h>

#include <array>

#include "support/errors.h"

namespace walvault {
namespace {

// The words of a line as the shell that PostgreSQL starts takes it apart, "%f" and "%p" filled
// in, and "%%" made one.
std::vector<std::string> words_of(const std::string& line) {
  std::string filled;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (line[i] != '%' || i + 1 == line.size()) {
      filled.push_back(line[i]);
      continue;
    }
    ++i;
    filled += line[i] == 'f' ? "FILE" : line[i] == 'p' ? "PATH" : std::string(1, line[i]);
  }
  const auto command = "printf '%s\\n' " + filled;
  FILE* const output = ::popen(command.c_str(), "r");
  std::vector<std::string> words;
  std::array<char, 4096> word{};
  while (::fgets(word.data(), word.size(), output) != nullptr) {
    words.emplace_back(word.data());
    words.back().pop_back();
  }
  ::pclose(output);
  return words;
}

FetchRequest read_back(std::vector<std::string> words, GlobalOptions& global) {
  FetchRequest request;
  CommandLine command_line("walvault-fetch", "");
  command_line.add_global_options(global);
  add_fetch_options(command_line, request);
  command_line.action([] {});
  std::vector<char*> argv;
  for (auto& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  EXPECT_TRUE(command_line.parse(static_cast<int>(words.size()), argv.data()));
  return request;
}

// What a restore writes, walvault-fetch reads, whatever the paths are called.
TEST(FetchRequest, ComesBackAsItWasWritten) {
  Config config;
  config.path = "/etc/it's 100%/walvault.toml";
  config.repository_asked = "/a b/$HOME/100%f";
  FetchRequest request;
  request.identity = "3";
  request.branches = {"2-0", "3-1"};
  request.plan = "a plan";
  request.prefetch = "0";
  request.standby = true;
  GlobalOptions global;
  const auto back =
      read_back(words_of(fetch_line("/opt/a'b/walvault-fetch", config, "main", request)), global);
  EXPECT_EQ(global.config, config.path);
  EXPECT_EQ(global.repo, config.repository_text());
  EXPECT_EQ(global.cluster, "main");
  EXPECT_EQ(back.name, "FILE");
  EXPECT_EQ(back.destination, "PATH");
  EXPECT_EQ(back.identity, request.identity);
  EXPECT_EQ(back.branches, request.branches);
  EXPECT_EQ(back.plan, request.plan);
  EXPECT_EQ(back.prefetch, request.prefetch);
  EXPECT_TRUE(back.standby);
}

TEST(FetchRequest, TakesBranchesOnly) {
  FetchRequest request;
  request.branches = {"2-0"};
  EXPECT_EQ(pin_of(request).branches.size(), 1u);
  request.branches = {"2"};
  (void)expect_error(ErrorKind::usage, [&] { (void)pin_of(request); });
}

}  // namespace
}  // namespace walvault
