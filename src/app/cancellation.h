// The end of a program by a signal, at a place where it can be said what is left behind.
#pragma once

namespace walvault {

// Lets SIGINT and SIGTERM end the work at the next check_cancelled; without it they end the
// process. A second signal does so in any case.
void catch_signals();

// For what PostgreSQL starts: that nobody reads its words any more does not end it. A server
// that is process 1 of a container may be its parent, and take a death by a signal for a
// crash of its own.
void ignore_broken_pipes();

// What a caught signal throws; Program::run turns it into words and dies of the signal.
struct Interrupted {
  int signal;
};

// Throws Interrupted when a caught signal came. From any thread.
void check_cancelled();

}  // namespace walvault
