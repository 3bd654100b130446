#include <nlohmann/json.hpp>

#include "app/open_repository.h"
#include "maintenance/maintenance_commands.h"

namespace walvault {

void add_init_command(Program& program, CommandLine& commands) {
  commands.command("init", "Creates an empty repository", [&program] {
    const auto url = program.config().repository();
    const auto storage = create_storage(url, program.writer());
    Repository::create(*storage, system_clock(), system_randomness());
    const auto repository = Repository::open(*storage);
    program.print({{"repository", {{"id", repository.id()}, {"url", storage->url()}}}},
                  "Created the repository " + storage->url() +
                      ".\nNext: walvault cluster add NAME "
                      "--pg CONNINFO\n");
  });
}

}  // namespace walvault
