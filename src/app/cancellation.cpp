#include "app/cancellation.h"

#include <csignal>

namespace walvault {
namespace {

volatile std::sig_atomic_t caught_signal = 0;

}  // namespace

void catch_signals() {
  struct sigaction action {};
  action.sa_handler = [](int number) { caught_signal = number; };
  sigemptyset(&action.sa_mask);
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  // Who reads the output may go: then writing fails, and what was begun is ended.
  ignore_broken_pipes();
}

void ignore_broken_pipes() {
  struct sigaction action {};
  action.sa_handler = SIG_IGN;
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGPIPE, &action, nullptr);
}

void check_cancelled() {
  if (caught_signal != 0) throw Interrupted{caught_signal};
}

}  // namespace walvault
