// Archives what a server that does not run any more left in its pg_wal: the
// history files, the segments that its archiver had not come to, and the one
// that it was writing.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "archiving/push.h"

namespace walvault {

struct RescueFailure {
  std::string name;
  std::string why;
};

struct RescueResult {
  std::vector<PushResult> archived;  // those too that were archived before
  std::vector<RescueFailure> failed;
  // Files that hold no WAL of their name: made ahead, or recycled; and what is
  // archived as a .partial already, though its name is a whole one's.
  std::size_t passed_over = 0;
};

// The identity, of a cluster's, that a data directory belongs to: by its
// pg_control; where that is missing or damaged, as an interrupted restore or
// pg_upgrade leaves it, by the segments in its pg_wal. nullopt: another
// cluster's, or nothing tells.
[[nodiscard]] std::optional<ClusterIdentity> find_identity_of(
    const std::vector<ClusterIdentity>& identities, const std::string& data_directory);

// The newest timeline that a cluster's WAL in a data directory is of; nullopt:
// there is none of that cluster.
[[nodiscard]] std::optional<TimelineId> newest_timeline_in(const ClusterIdentity& identity,
                                                           const std::string& data_directory);

// What has to be known of WAL before it is rescued.
enum class RescueOf {
  // Nothing: somebody says that it is this cluster's.
  anything,
  // That it goes on with what is archived, and is not known to be another server's.
  what_follows,
  // That, too, and that it is of the very data directory which was archived for: nobody was asked.
  the_same_server,
};

// Before anything is written all is compared with what is archived: the first contradiction is
// Error{conflict}, and so is WAL of which not enough is known. Then what is damaged does not keep
// the rest from being archived. The last segment of a timeline is archived as .partial unless the
// server had marked it as complete.
//
// Error{conflict} when a server runs in the directory, too; {not_found} when there is
// no pg_wal in it.
// {unavailable} for the storage's own failures: those end it.
[[nodiscard]] RescueResult rescue_wal(const WalArchive& archive, const std::string& data_directory,
                                      RescueOf what, Clock& clock, const PushOptions& options);

}  // namespace walvault
