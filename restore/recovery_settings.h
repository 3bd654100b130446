// The settings that make a restored server recover to a target, written into
// postgresql.auto.conf.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "catalog/recovery/recovery_demands.h"

namespace walvault {

struct RecoverySettings {
  std::string restore_command;  // as PostgreSQL runs it, with %f and %p
  // Likewise, when it has recovered (walvault recovery-ended); empty: nothing.
  std::string end_command = {};
  std::string plan = {};  // what stands in recovery.signal (restore/fetch/recovery_pin.h)
  RecoveryTarget target;
  TimelineId timeline;
  int server_major = 0;            // 0: not known, only what every major knows is set
  std::string action = "promote";  // promote, pause, shutdown
  // Without it the server is a copy beside the original: then it also applies no
  // subscription's changes, which the original is to have, and waits for no synchronous
  // standby.
  bool archiving = false;
  // Follow a primary for ever, instead of recovering to the target.
  bool standby = false;
  std::string primary_conninfo = {};  // of a standby; empty: it has the archive only
  // PostgreSQL may read WAL ahead of what it replays (from 15 on it does).
  bool reads_ahead = true;
  // What of the server's own is raised where it is smaller.
  RequiredSettings required = {};
};

struct RaisedSetting {
  std::string name;
  std::uint32_t value = 0;

  bool operator==(const RaisedSetting&) const = default;
};

// Which of those that are required have to be raised, in a data directory with these files.
// `postgresql_conf`: nullopt where that lies elsewhere, as on Debian; what it says is not known
// then, as little as what it includes.
[[nodiscard]] std::vector<RaisedSetting> settings_to_raise(
    const RequiredSettings& required, const std::string& auto_conf,
    const std::optional<std::string>& postgresql_conf);

// The file's content with these settings at its end, and those that are raised before them. What an
// earlier restore of this program wrote there goes; everything else stays, but whatever would make
// a recovery to a target wait or run commands (left over from a delayed standby, say) is taken back
// by a setting of its own.
[[nodiscard]] std::string with_recovery_settings(const std::string& auto_conf,
                                                 const RecoverySettings& settings,
                                                 const std::vector<RaisedSetting>& raised = {});

// The file's content of a server that has recovered, without what was for that recovery alone: who
// copies the server, for a standby above all, would have it stop at the same target. What the
// server is told for its life stays: restore_command, its role, what was raised.
[[nodiscard]] std::string without_recovery_target(const std::string& auto_conf);

// The file's content of a server that archives and acts as the original does, or as a copy.
[[nodiscard]] std::string with_role(const std::string& auto_conf, bool is_original);

}  // namespace walvault
