#include "basebackup/server_claim.h"

#include "base/error.h"
#include "postgres/wal_page.h"
#include "repository/pin.h"
#include "repository/tree_copier.h"

namespace walvault {
namespace {

constexpr std::chrono::milliseconds claim_poll{250};

bool archiving_is_off(ReplicationConnection& server) {
  return server.show("archive_mode").value_or("on") == "off";
}

// The backup of this cluster that was begun last and is not complete: from its
// writer's pin.
std::string running_backup(const WalArchive& archive) {
  const auto& repository = archive.repository();
  const auto prefix = prefix_of(ObjectPlace::backups, archive.identity().name);
  std::optional<Pin> newest;
  for (auto& stored : list_pins(repository)) {
    auto& pin = stored.pin;
    if (pin.root_key.starts_with(prefix) && pin.created != copied_for_ever &&
        (!newest || pin.created > newest->created) && is_live(repository, pin)) {
      newest = std::move(pin);
    }
  }
  if (!newest) return "It has only just begun.";
  const auto id = newest->root_key.substr(prefix.size());
  return "It is " + id.substr(0, id.find('/')) + ", begun at " + to_rfc3339(newest->created) + ".";
}

}  // namespace

bool archives_wal(ReplicationConnection& server) {
  // A setting that may not be seen is taken for set: what matters is whether
  // the WAL arrives.
  if (archiving_is_off(server)) return false;
  return !server.show("archive_command").value_or("?").empty() ||
         !server.show("archive_library").value_or("").empty();
}

void expect_registered_server(const ClusterIdentity& registered, ReplicationConnection& server,
                              bool streams_wal) {
  const auto major = server.server_version() / 10000;
  if (major < postgres_major_min || major > postgres_major_max) {
    throw Error(ErrorKind::usage, "PostgreSQL " + std::to_string(major) + " is not supported",
                "This version of walvault knows the majors " + std::to_string(postgres_major_min) +
                    " to " + std::to_string(postgres_major_max) + ".");
  }
  const auto identity = server.identify_system();
  if (identity.system_identifier != registered.system_identifier ||
      major != registered.postgres_major) {
    throw Error(ErrorKind::conflict, "this server is not the cluster " + registered.name,
                "Registered: system identifier " + std::to_string(registered.system_identifier) +
                    ", PostgreSQL " + std::to_string(registered.postgres_major) +
                    "; the server: " + std::to_string(identity.system_identifier) +
                    ", PostgreSQL " + std::to_string(major) + ".",
                "Check --cluster and --pg. After pg_upgrade: walvault cluster upgrade " +
                    registered.name + " --pg CONNINFO");
  }
  // Asked before anything is copied: without archiving the WAL that makes the
  // copy consistent would never come.
  if (!streams_wal && archiving_is_off(server)) {
    throw Error(ErrorKind::usage, "the server does not archive its WAL",
                "archive_mode is off, and a backup without its WAL cannot be restored.",
                "Use --wal stream; or put archive_mode = on and archive_command = "
                "'walvault-archive --cluster " +
                    registered.name + " %p' into postgresql.conf and restart the server.");
  }
}

std::string claim_server(const WalArchive& archive, ReplicationConnection& server,
                         ReplicationConnection* wal_server, Clock& clock,
                         std::chrono::milliseconds patience, const Reporter& reporter) {
  auto slot = "walvault_backup_" + archive.repository().id().substr(0, 8);
  const auto claimed = [&] {
    if (wal_server != nullptr) return wal_server->create_temporary_slot(slot, SlotWal::kept);
    try {
      return server.create_temporary_slot(slot, SlotWal::not_kept);
    } catch (const Error& error) {
      reporter.info("another backup of this cluster would not be noticed: " + error.detail());
      return true;
    }
  };
  const auto deadline = clock.steady() + patience;
  while (!claimed()) {
    reporter.check_cancelled();
    if (clock.steady() >= deadline) {
      throw Error(ErrorKind::unavailable,
                  "another backup of cluster " + archive.identity().name + " is running",
                  running_backup(archive),
                  "Wait until it has ended, then try again. If it was killed, the server ends its "
                  "session after the checkpoint that it waits for; which one that is: SELECT "
                  "active_pid FROM pg_replication_slots WHERE slot_name = '" +
                      slot + "'");
    }
    clock.sleep_for(claim_poll);
  }
  return slot;
}

}  // namespace walvault
