#include "app/question.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "app/cancellation.h"
#include "base/format.h"

namespace walvault {
namespace {

constexpr int tries_max = 3;
constexpr std::size_t answer_bytes_max = 256;
constexpr int look_for_signals_every_ms = 200;

// nullopt: the input ended, or goes on without an end of line.
std::optional<std::string> read_line() {
  std::string line;
  while (line.size() < answer_bytes_max) {
    check_cancelled();
    pollfd input{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
    if (::poll(&input, 1, look_for_signals_every_ms) <= 0) continue;
    char c = 0;
    if (::read(STDIN_FILENO, &c, 1) != 1) return std::nullopt;
    if (c == '\n') return line;
    if (c != ' ' && c != '\t' && c != '\r') line.push_back(c);
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> ask(const std::string& question,
                               const std::vector<std::string>& answers) {
  if (::isatty(STDIN_FILENO) != 1 || ::isatty(STDERR_FILENO) != 1) return std::nullopt;
  for (int i = 0; i < tries_max; ++i) {
    std::fprintf(stderr, "%s (%s): ", question.c_str(),
                 list_of(answers, [](const std::string& each) { return each; }).c_str());
    auto line = read_line();
    if (!line) break;
    if (std::ranges::find(answers, *line) != answers.end()) return line;
  }
  return std::nullopt;
}

}  // namespace walvault
