#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "app/log.h"
#include "archiving/rescue.h"
#include "base/path.h"
#include "catalog/records/cluster.h"
#include "maintenance/maintenance_commands.h"

namespace walvault {
namespace {

using nlohmann::ordered_json;

struct Options {
  std::string pgdata;
  bool accept = false;
};

void rescue(Program& program, const Options& options) {
  const auto& config = program.config();
  const auto cluster = config.cluster();
  const auto pgdata = absolute_path(options.pgdata);
  const auto opened = program.open_repository();
  const auto identity = find_identity_of(cluster_identities(opened.repository, cluster), pgdata);
  if (!identity) {
    throw Error(ErrorKind::conflict,
                "\"" + options.pgdata + "\" is not the data directory of cluster " + cluster,
                "Neither its pg_control nor the segments in its pg_wal have a system identifier "
                "that is registered under this name.",
                "Check --cluster and --pgdata.");
  }
  const WalArchive archive(opened.repository, *identity);
  const auto result = rescue_wal(
      archive, pgdata, options.accept ? RescueOf::anything : RescueOf::what_follows, system_clock(),
      {.compression = config.wal_compression, .threads = config.worker_threads()});

  ordered_json archived = ordered_json::array();
  std::size_t anew = 0;
  std::string text;
  for (const auto& file : result.archived) {
    archived.push_back({{"name", file.name}, {"already_there", file.already_there}});
    if (!file.damage.empty()) {
      archived.back()["damage"] = file.damage;
      log_warning(file.name + " is archived, but damaged: " + file.damage);
    }
    if (file.already_there) continue;
    ++anew;
    text += "  " + file.name + "\n";
  }
  ordered_json failed = ordered_json::array();
  for (const auto& failure : result.failed) {
    failed.push_back({{"name", failure.name}, {"why", failure.why}});
    log_warning(failure.name + " is not archived: " + failure.why);
  }
  program.print(
      {{"rescued",
        {{"archived", archived}, {"failed", failed}, {"passed_over", result.passed_over}}}},
      "Newly archived: " + std::to_string(anew) +
          ", archived before: " + std::to_string(result.archived.size() - anew) +
          ", passed over as no WAL: " + std::to_string(result.passed_over) + ".\n" + text);
  if (!result.failed.empty()) program.set_exit_code(exit_code(ErrorKind::conflict));
}

}  // namespace

void add_wal_command(Program& program, CommandLine& commands) {
  auto& wal = commands.command("wal", "Manages archived WAL");
  const auto options = std::make_shared<Options>();
  auto& command = wal.command("rescue", "Archives what a dead server left in its pg_wal",
                              [&program, options] { rescue(program, *options); });
  command.required_option("--pgdata", options->pgdata, "The data directory of the dead server");
  command.flag("--accept", options->accept,
               "The WAL is this cluster's, though that cannot be shown: archive it");
}

}  // namespace walvault
