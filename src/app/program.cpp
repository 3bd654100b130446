#include "app/program.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

#include "app/cancellation.h"
#include "app/log.h"

namespace walvault {
namespace {

using nlohmann::ordered_json;

std::string dump(const ordered_json& document) {
  // Names of files and labels are bytes; what is not UTF-8 in them is shown
  // as such rather than refused.
  return document.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

void print_part(const char* name, const std::string& text) {
  if (!text.empty()) std::fprintf(stderr, "%s: %s\n", name, text.c_str());
}

// Where a standard file is closed, the next one that is opened, a segment or the
// server's socket, would get its number, and our words with it. What stands there from now
// on is opened the wrong way round, so that using it fails as it does with a closed one.
void open_standard_files() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(fd, F_GETFD) >= 0 || errno != EBADF) continue;
    // The lowest number that is free: this one. Not close-on-exec, for children too.
    (void)::open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
  }
}

// A result that does not arrive is a failure: a full disk behind stdout must
// not end in exit code 0.
void print_to_stdout(const std::string& text) {
  if (std::fputs(text.c_str(), stdout) < 0 || std::fflush(stdout) != 0) {
    throw system_error("write the result to standard output", errno);
  }
}

}  // namespace

Program::Program(std::string name, std::string description)
    : command_line_(std::move(name), std::move(description)), writer_(system_randomness().id()) {
  open_standard_files();
  command_line_.add_global_options(options_);
}

const Config& Program::config() {
  if (!config_) config_ = load_config(options_);
  return *config_;
}

OpenRepository Program::open_repository(Caching caching, Patience patience) {
  return walvault::open_repository(config(), config().repository(), writer_, patience, caching);
}

void Program::print(const ordered_json& document, const std::string& text) const {
  print_to_stdout(options_.json ? dump(document) : text);
}

void Program::report(const Error& error, bool json) const {
  if (json) {
    const ordered_json document = {{"error",
                                    {{"kind", kind_name(error.kind())},
                                     {"message", error.message()},
                                     {"detail", error.detail()},
                                     {"hint", error.hint()}}}};
    std::fputs(dump(document).c_str(), stdout);
    std::fflush(stdout);
  }
  print_part("error", error.message());
  print_part("detail", error.detail());
  print_part("hint", error.hint());
}

int Program::run(int argc, char** argv, const ExitCode& exit_code_of) {
  // Wanted even for an error in the options themselves.
  bool json = false;
  for (int i = 1; i < argc; ++i) json |= std::strcmp(argv[i], "--json") == 0;
  const auto fail = [&](const Error& error) {
    report(error, json);
    return exit_code_of(error.kind());
  };
  try {
    const auto action = command_line_.parse(argc, argv);
    if (!action) return 0;
    set_log_level(options_.log_level);
    (*action)();
    return exit_code_;
  } catch (const Error& error) {
    return fail(error);
  } catch (const Interrupted& interrupted) {
    (void)fail(Error(
        ErrorKind::unavailable,
        std::string("interrupted by ") + (interrupted.signal == SIGINT ? "SIGINT" : "SIGTERM"),
        "Nothing that was not finished counts."));
    // Die of it, as whoever sent it expects.
    (void)std::signal(interrupted.signal, SIG_DFL);
    (void)std::raise(interrupted.signal);
    return exit_code_of(ErrorKind::unavailable);
  } catch (const std::exception& error) {
    return fail(Error(ErrorKind::internal, "something went wrong inside walvault", error.what(),
                      "Please report this as a bug, with the command and this message."));
  }
}

}  // namespace walvault
