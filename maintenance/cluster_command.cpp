#include <memory>
#include <nlohmann/json.hpp>

#include "app/cancellation.h"
#include "app/connection_options.h"
#include "app/places.h"
#include "app/results/backup_result.h"
#include "base/path.h"
#include "catalog/records/backup_info.h"
#include "catalog/records/backup_list.h"
#include "maintenance/further_repositories.h"
#include "maintenance/maintenance_commands.h"
#include "postgres/client/replication_connection.h"
#include "server/identify_cluster.h"

namespace walvault {
namespace {

using nlohmann::ordered_json;

ordered_json registered_json(const ClusterIdentity& identity) {
  auto document = cluster_json(identity);
  document["registered"] = to_rfc3339(identity.registered);
  return document;
}

// The server's user has neither this user's directory nor its environment.
std::string place_for_archive_command(const Config& config) {
  std::string place;
  if (!config.path.empty()) place = "--config " + absolute_path(config.path) + " ";
  return place + "--repo " + config.repository_text();
}

struct Options {
  std::string name;
  std::optional<std::string> pg;
  bool yes = false;
};

ClusterIdentity identify(Program& program, const Options& options) {
  const auto server =
      connect_replication({.conninfo = conninfo_for(program.config(), options.name, options.pg),
                           .check_cancelled = check_cancelled});
  expect_server_apart(program.config(), server->show("data_directory"));
  return identify_cluster(options.name, *server, system_clock().now());
}

std::string identity_text(const ClusterIdentity& identity) {
  return identity.name + ": PostgreSQL " + std::to_string(identity.postgres_major) +
         ", system identifier " + std::to_string(identity.system_identifier) + ".\n";
}

// In the further repositories it has the same number, so that each can be copied to the
// other.
void register_beside(Program& program, const Repository& repository, const std::string& name) {
  for_each_further(program, "the cluster is not registered", [&](const Repository& further) {
    copy_registrations(repository, further, name, false);
  });
}

void add(Program& program, const Options& options) {
  check_cluster_name(options.name);
  expect_repositories_sound(program.config());
  const auto opened = program.open_repository();
  const auto [identity, anew] = add_cluster(opened.repository, identify(program, options));
  register_beside(program, opened.repository, options.name);
  program.print({{"cluster", registered_json(identity)}, {"added", anew}},
                (anew ? "Registered cluster " : "This server is registered already as ") +
                    identity_text(identity) +
                    "In its postgresql.conf:\n  archive_mode = on\n  archive_command = "
                    "'walvault-archive " +
                    place_for_archive_command(program.config()) + " --cluster " + options.name +
                    " %p'\n");
}

void upgrade(Program& program, const Options& options) {
  expect_repositories_sound(program.config());
  const auto opened = program.open_repository();
  // Before the server is asked: the name may be mistyped.
  (void)get_cluster(opened.repository, options.name);
  const auto [identity, anew] = upgrade_cluster(opened.repository, identify(program, options));
  register_beside(program, opened.repository, options.name);
  program.print({{"cluster", registered_json(identity)}, {"upgraded", anew}},
                (anew ? "Upgraded cluster " : "This server is the registered one: cluster ") +
                    identity_text(identity) +
                    (anew ? "What was backed up before stays restorable, by a time or a backup's "
                            "id.\nThe new server has no backup yet. Take one with: walvault backup "
                            "--cluster " +
                                options.name + "\n"
                          : ""));
}

void remove(Program& program, const Options& options) {
  const auto opened = program.open_repository();
  const auto identity = get_cluster(opened.repository, options.name);
  const auto backups = list_backups(opened.repository, options.name).backups.size();
  if (!options.yes) {
    throw Error(ErrorKind::usage, "removing a cluster has to be confirmed",
                "Cluster " + options.name + " has " + std::to_string(backups) +
                    " backups; they and its WAL could not be restored any more.",
                "If that is meant, add --yes.");
  }
  remove_cluster(opened.repository, options.name, system_clock().now());
  program.print(
      {{"removed", registered_json(identity)}},
      "Removed cluster " + identity_text(identity) +
          "Its archive_command fails from now on. Nothing was deleted: its backups and WAL "
          "keep their space. The name can be registered again.\n");
}

void list(Program& program) {
  const auto opened = program.open_repository();
  ordered_json clusters = ordered_json::array();
  std::string text;
  for (const auto& identity : list_clusters(opened.repository)) {
    clusters.push_back(registered_json(identity));
    text += identity.name + "  PostgreSQL " + std::to_string(identity.postgres_major) +
            "  system identifier " + std::to_string(identity.system_identifier) + "\n";
  }
  if (text.empty()) text = "No cluster is registered.\n";
  program.print({{"clusters", clusters}}, text);
}

}  // namespace

void add_cluster_command(Program& program, CommandLine& commands) {
  auto& cluster = commands.command("cluster", "Registers and lists database clusters");
  const auto options = std::make_shared<Options>();
  const auto command = [&](const std::string& name, const std::string& description,
                           void (*action)(Program&, const Options&)) -> CommandLine& {
    auto& added = cluster.command(name, description,
                                  [&program, options, action] { action(program, *options); });
    added.argument("NAME", options->name, "Lower-case letters, digits, '-' and '_'");
    return added;
  };
  const auto add_pg = [&](CommandLine& to) {
    to.option("--pg", options->pg, "How to connect to the server (a libpq connection string)");
  };
  add_pg(command("add", "Registers a database cluster under a name", add));
  add_pg(command("upgrade", "Accepts the new system identifier after pg_upgrade", upgrade));
  command("remove", "Ends a registration; its backups can no longer be restored", remove)
      .flag("--yes", options->yes, "Confirms that its backups can no longer be restored");
  cluster.command("list", "Lists the registered clusters", [&program] { list(program); });
}

}  // namespace walvault
