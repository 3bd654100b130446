#include <memory>
#include <nlohmann/json.hpp>

#include "app/connection_options.h"
#include "base/format.h"
#include "catalog/cluster.h"
#include "maintenance/maintenance_commands.h"
#include "postgres/client/replication_connection.h"
#include "postgres/segment_name.h"
#include "postgres/wal_page.h"

namespace walvault {
namespace {

using nlohmann::ordered_json;

ordered_json cluster_json(const ClusterIdentity& identity) {
  return {{"name", identity.name},
          {"system_identifier", std::to_string(identity.system_identifier)},
          {"postgres_version", std::to_string(identity.postgres_major)},
          {"wal_segment_bytes", identity.segment_bytes},
          {"registered", to_rfc3339(identity.registered)}};
}

ClusterIdentity identify(const std::string& name, ReplicationConnection& server) {
  ClusterIdentity identity;
  identity.name = name;
  identity.postgres_major = server.server_version() / 10000;
  if (!wal_page_magic(identity.postgres_major)) {
    throw Error(ErrorKind::usage,
                "PostgreSQL " + std::to_string(identity.postgres_major) + " is not supported",
                "This version of walvault knows the majors " + std::to_string(postgres_major_min) +
                    " to " + std::to_string(postgres_major_max) + ".");
  }
  identity.system_identifier = server.identify_system().system_identifier;
  const auto size = server.show("wal_segment_size").value_or("");
  const auto bytes = parse_size(size, "the server's wal_segment_size");
  if (!is_segment_size(bytes)) {
    throw Error(ErrorKind::usage, "the server's WAL segments have an unknown size",
                "wal_segment_size is " + size + ".");
  }
  identity.segment_bytes = static_cast<std::uint32_t>(bytes);
  identity.registered = system_clock().now();
  return identity;
}

void add(Program& program, const std::string& name, const std::optional<std::string>& pg) {
  check_cluster_name(name);
  const auto opened = program.open_repository();
  const auto server = connect_replication({.conninfo = conninfo_for(program.config(), name, pg),
                                           .check_cancelled = Program::check_cancelled});
  const auto identity = identify(name, *server);
  const bool added = add_cluster(opened.repository, identity);
  program.print({{"cluster", cluster_json(identity)}, {"added", added}},
                (added ? "Registered cluster " : "This server is registered already as ") + name +
                    ": PostgreSQL " + std::to_string(identity.postgres_major) +
                    ", system identifier " + std::to_string(identity.system_identifier) +
                    ".\nIn its postgresql.conf:\n  archive_mode = on\n  archive_command = "
                    "'walvault-archive --repo " +
                    opened.storage->url() + " --cluster " + name + " %p'\n");
}

void list(Program& program) {
  const auto opened = program.open_repository();
  ordered_json clusters = ordered_json::array();
  std::string text;
  for (const auto& identity : list_clusters(opened.repository)) {
    clusters.push_back(cluster_json(identity));
    text += identity.name + "  PostgreSQL " + std::to_string(identity.postgres_major) +
            "  system identifier " + std::to_string(identity.system_identifier) + "\n";
  }
  if (text.empty()) text = "No cluster is registered.\n";
  program.print({{"clusters", clusters}}, text);
}

}  // namespace

void add_cluster_command(Program& program, CommandLine& commands) {
  auto& cluster = commands.command("cluster", "Registers and lists database clusters");
  struct Options {
    std::string name;
    std::optional<std::string> pg;
  };
  const auto options = std::make_shared<Options>();
  auto& add_command =
      cluster.command("add", "Registers a database cluster under a name",
                      [&program, options] { add(program, options->name, options->pg); });
  add_command.argument("NAME", options->name, "Lower-case letters, digits, '-' and '_'");
  add_command.option("--pg", options->pg,
                     "How to connect to the server (a libpq connection string)");
  cluster.command("list", "Lists the registered clusters", [&program] { list(program); });
}

}  // namespace walvault
