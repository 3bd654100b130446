#include "restore/replacement.h"

#include "archiving/rescue.h"
#include "base/error.h"
#include "base/file.h"
#include "datadir/data_directory.h"
#include "datadir/file_tree.h"
#include "datadir/running_server.h"
#include "postgres/control_file.h"
#include "restore/restore.h"

namespace walvault {
namespace {

constexpr std::uint64_t control_file_bytes_max = 65536;

// A restore that was killed while it wrote pg_control, which is its last step, leaves a part of it.
bool has_control_file(const std::string& directory) {
  const auto path = directory + "/" + std::string(control_file_path);
  if (!find_status(path)) return false;
  try {
    (void)parse_control_file(read_file(path, control_file_bytes_max));
    return true;
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::corrupt) throw;
    return false;
  }
}

// Whether all of it may go. `identity`: whose it is, of the cluster's; nullopt: none of them.
void expect_replaceable(const Replacement& replacement,
                        const std::vector<ClusterIdentity>& identities,
                        const std::optional<ClusterIdentity>& identity) {
  const auto& directory = replacement.directory;
  const bool is_cluster = has_control_file(directory);
  if (is_cluster && identity) return;
  std::vector<std::uint64_t> system_identifiers;
  system_identifiers.reserve(identities.size());
  for (const auto& each : identities) system_identifiers.push_back(each.system_identifier);
  if (replacement.is_delta && !is_cluster && is_unfinished_delta(directory, system_identifiers)) {
    return;
  }
  const auto refused = [&](const std::string& without_control, const std::string& next) {
    return Error(ErrorKind::conflict,
                 is_cluster ? "\"" + directory + "\" holds another database cluster"
                            : "\"" + directory + "\" is not empty and no database cluster",
                 is_cluster
                     ? "Its system identifier is not one of cluster " + identities.back().name + "."
                     : without_control,
                 next);
  };
  if (replacement.is_delta) {
    throw refused("It has no global/pg_control that can be read.",
                  "--delta makes a copy of this cluster into another state of it. Restore into an "
                  "empty directory, or replace what is there with --force.");
  }
  if (!replacement.may_be_anything) {
    throw refused(
        "It has no global/pg_control that can be read; an interrupted restore leaves it so.",
        "If all of it may go, add --yes.");
  }
}

// A copy that was restored to try something has a timeline of its own, which
// must not become the newest of the cluster's by the way.
void expect_archived_timeline(const WalArchive& archive, const std::string& directory) {
  const auto archived = archive.timelines();
  const auto newest = newest_timeline_in(archive.identity(), directory);
  if (!newest || archived.empty() || *newest <= archived.back()) return;
  throw Error(ErrorKind::conflict,
              "\"" + directory + "\" holds WAL of a timeline that is not archived: " +
                  std::to_string(newest->value),
              "The newest that is archived is " + std::to_string(archived.back().value) +
                  ". A copy that was restored beside the original has a timeline of its own.",
              "If what it wrote may go, add --discard-wal. If it is to become part of the "
              "cluster's history: walvault wal rescue --accept --cluster " +
                  archive.identity().name + " --pgdata " + directory);
}

void save_wal(const WalArchive& archive, const std::string& directory, const PushOptions& push,
              const Reporter& reporter) {
  const auto rescued = [&] {
    try {
      return rescue_wal(archive, directory, RescueOf::the_same_server, archive.repository().clock(),
                        push);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::conflict) throw;
      throw Error(error.kind(), error.message(), error.detail(),
                  "If what only this directory holds may go: --discard-wal. " + error.hint());
    }
  }();
  for (const auto& file : rescued.archived) {
    if (!file.already_there) reporter.info("archived " + file.name + " of the old directory");
    if (!file.damage.empty()) {
      reporter.warn(file.name + " of the old directory is damaged: " + file.damage);
    }
  }
  if (rescued.failed.empty()) return;
  throw Error(ErrorKind::conflict,
              "WAL that only \"" + directory + "\" holds could not be archived",
              rescued.failed.front().name + ": " + rescued.failed.front().why,
              "Keep a copy of its pg_wal if it may be needed, and add --discard-wal.");
}

}  // namespace

void prepare_replacement(const Replacement& replacement, const Repository& repository,
                         const std::vector<ClusterIdentity>& identities, const PushOptions& push,
                         const Reporter& reporter) {
  const auto& directory = replacement.directory;
  auto names = names_in(directory);
  std::erase(names, "lost+found");
  if (names.empty()) return;
  DataDirectory(directory).expect_stopped();
  const auto identity = find_identity_of(identities, directory);
  expect_replaceable(replacement, identities, identity);
  if (!identity || !replacement.saves_wal || !find_status(directory + "/pg_wal")) return;
  if (replacement.dry_run) {
    reporter.info("the WAL that only " + directory + " holds would be archived first");
    return;
  }
  const WalArchive archive(repository, *identity);
  expect_archived_timeline(archive, directory);
  save_wal(archive, directory, push, reporter);
}

}  // namespace walvault
