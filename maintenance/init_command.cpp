#include <nlohmann/json.hpp>

#include "app/log.h"
#include "app/open_repository.h"
#include "maintenance/maintenance_commands.h"

namespace walvault {

void add_init_command(Program& program, CommandLine& commands) {
  commands.command("init", "Creates an empty repository", [&program] {
    const auto storage = create_storage(program.config(), program.writer());
    const bool conditional_writes = storage->has_conditional_writes();
    Repository::create(*storage, system_clock(), system_randomness());
    const auto repository = Repository::open(*storage);
    if (!conditional_writes) {
      log_warning(
          "this object store has no conditional writes (If-None-Match): two programs that write "
          "one WAL segment at once may both succeed, so archive from one host at a time, and gc "
          "wants --exclusive, at times when nothing else runs");
    }
    program.print({{"repository",
                    {{"id", repository.id()},
                     {"url", storage->url()},
                     {"conditional_writes", conditional_writes}}}},
                  "Created the repository " + storage->url() +
                      ".\nNext: walvault cluster add NAME "
                      "--pg CONNINFO\n");
  });
}

}  // namespace walvault
