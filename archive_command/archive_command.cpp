#include "archive_command/archive_command.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "app/log.h"
#include "app/program.h"
#include "archive_command/push_ahead.h"

namespace walvault {
namespace {

// What one call may take of the server's processors.
constexpr unsigned threads_max = 4;

// Segments on their way to an object store at once; with what is compressed at most as
// much memory as so many segments have.
constexpr unsigned object_store_uploads = 8;

PushAheadResult push(Program& program, const std::string& path) {
  const auto& config = program.config();
  const auto ahead = config.segments_ahead();
  const auto notes =
      ahead > 0 ? Acknowledgements::of_current_directory(repository_place(config.repository())) : std::nullopt;
  if (notes && config.is_remote()) {
    const auto known = notes->take_recent(config.cluster(), path, system_clock().now());
    if (known) return {.offered = *known};
  }
  const auto opened = program.open_repository();
  const WalArchive archive(opened.repository,
                           get_cluster(opened.repository, config.cluster(), ErrorKind::conflict));
  return push_and_ahead(archive, path, system_clock(),
                        {.push = {.compression = config.wal_compression,
                                  .threads = std::min(config.worker_threads(), threads_max)},
                         .ahead = ahead,
                         .uploads = config.is_remote() ? object_store_uploads : 1},
                        notes ? &*notes : nullptr);
}

void archive_file(Program& program, const std::string& path) {
  const auto [result, ahead] = push(program, path);
  if (!result.damage.empty()) {
    log_warning("WAL segment " + result.name + " is archived, but damaged: " + result.damage +
                "; nothing behind it can be recovered from this archive. Check the disk of pg_wal, "
                "and take a new backup");
  }
  log_debug("archived " + result.name + (result.already_there ? " (it was there already)" : ""));
  nlohmann::json archived = {{"name", result.name},
                             {"already_there", result.already_there},
                             {"size_bytes", result.plain_bytes},
                             {"stored_bytes", result.stored_bytes},
                             {"ahead", ahead}};
  if (!result.damage.empty()) archived["damage"] = result.damage;
  // PostgreSQL shows what its archive_command prints in the server's log:
  // success says nothing there.
  program.print({{"archived", archived}}, "");
}

}  // namespace

int archive_main(int argc, char** argv) {
  Program program(
      "walvault-archive",
      "Archives one WAL file; for archive_command = 'walvault-archive --cluster NAME %p'");
  std::string path;
  program.command_line().argument("PATH", path, "The file, as PostgreSQL passes it in %p");
  program.command_line().action([&] { archive_file(program, path); });
  // Above 125 PostgreSQL's archiver itself would exit; no kind comes near.
  return program.run(argc, argv);
}

}  // namespace walvault
