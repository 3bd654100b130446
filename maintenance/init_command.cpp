#include <algorithm>
#include <nlohmann/json.hpp>

#include "app/known_repository.h"
#include "app/log.h"
#include "app/open_repository.h"
#include "app/places.h"
#include "base/error.h"
#include "datadir/file_tree.h"
#include "maintenance/maintenance_commands.h"

namespace walvault {

namespace {

// What is there already would lie among objects, and what holds a data directory would hold
// its own backups. What an interrupted init left is no hindrance, nor is what a file system
// brings with it; of a repository that is there the error says so itself.
void expect_room_for_a_repository(const Config& config) {
  const auto place = config.repository();
  expect_repositories_sound(config);
  if (place.is_remote()) return;
  const auto directory = directory_of(place.url);
  const auto names = names_in(directory);
  if (std::ranges::find(names, "format") != names.end()) return;
  for (const auto& name : names) {
    if (name == "lost+found" || name == "tmp" || name.starts_with('.')) continue;
    throw Error(ErrorKind::conflict, "\"" + directory + "\" is not empty",
                "It holds for example \"" + name + "\".",
                "Name a directory that is missing or empty: a repository has one of its own.");
  }
}

}  // namespace

void add_init_command(Program& program, CommandLine& commands) {
  commands.command("init", "Creates an empty repository", [&program] {
    expect_room_for_a_repository(program.config());
    const auto storage = create_storage(program.config(), program.writer());
    const bool conditional_writes = storage->has_conditional_writes();
    Repository::create(*storage, system_clock(), system_randomness());
    const auto repository = Repository::open(*storage);
    const KnownRepository memory(program.config(), program.config().repository());
    if (const auto known = memory.id()) {
      log_warning("this machine knows another repository at " + storage->url() + ", " + *known +
                  ", and nothing is archived to this one. Is the file system of that one not "
                  "mounted? If this one is to take its place: walvault check --accept-repository");
    } else {
      memory.remember(repository.id());
    }
    if (!conditional_writes) {
      log_warning(
          "this object store has no conditional writes (If-None-Match): two programs that write "
          "one WAL segment at once may both succeed, so archive from one host at a time, and gc "
          "needs --exclusive, at a time when nothing else runs");
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
