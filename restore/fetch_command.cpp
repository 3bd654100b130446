#include "restore/fetch_command.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "app/log.h"
#include "app/program.h"
#include "base/format.h"
#include "restore/fetch.h"

namespace walvault {
namespace {

using std::chrono::milliseconds;

// PostgreSQL takes 1 to 125 for "there is no such file: recovery ends here"
// and goes on to open the database. So everything that is not a proved absence
// has to be above: 200 stops recovery, loudly.
constexpr int exit_absent = 1;
constexpr int exit_failed = 200;

constexpr unsigned threads_max = 4;
constexpr milliseconds pause_max{5000};

// A repository that is not there is one that is not mounted, more likely than
// not: worth waiting for.
OpenRepository open_mounted(Program& program) {
  try {
    return program.open_repository();
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::not_found) throw;
    throw Error(ErrorKind::unavailable, error.message(), error.detail(),
                "Check that its file system is mounted.");
  }
}

FetchOutcome fetch_once(Program& program, const std::string& name, const std::string& destination) {
  const auto& config = program.config();
  const auto opened = open_mounted(program);
  const WalArchive archive(opened.repository, get_cluster(opened.repository, config.cluster()));
  return fetch_wal_file(archive, name, destination, std::min(config.worker_threads(), threads_max));
}

FetchOutcome fetch_with_patience(Program& program, const std::string& name,
                                 const std::string& destination) {
  const auto patience = parse_duration(program.config().fetch_retry_for, "[fetch] retry_for");
  auto& clock = system_clock();
  const auto deadline = clock.now() + patience;
  milliseconds pause{100};
  while (true) {
    try {
      return fetch_once(program, name, destination);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::unavailable || clock.now() + pause >= deadline) throw;
      log_warning(error.message() + "; trying again: " + error.detail());
    }
    clock.sleep_for(pause);
    pause = std::min(pause * 2, pause_max);
  }
}

}  // namespace

int fetch_main(int argc, char** argv) {
  Program program("walvault-fetch",
                  "Delivers one archived WAL file; for restore_command = 'walvault-fetch --cluster "
                  "NAME %f %p'");
  std::string name;
  std::string destination;
  program.command_line().argument("NAME", name,
                                  "The file asked for, as PostgreSQL passes it in %f");
  program.command_line().argument("DESTINATION", destination, "Where it goes, %p");
  program.command_line().action([&] {
    const auto outcome = fetch_with_patience(program, name, destination);
    const bool delivered = outcome == FetchOutcome::delivered;
    if (!delivered) program.set_exit_code(exit_absent);
    program.print({{"fetched", {{"name", name}, {"delivered", delivered}}}}, "");
  });
  return program.run(argc, argv, [](ErrorKind) { return exit_failed; });
}

}  // namespace walvault
