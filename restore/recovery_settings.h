// The settings that make a restored server recover to a target, written into
// postgresql.auto.conf.
#pragma once

#include <string>

#include "catalog/recovery/recovery_plan.h"

namespace walvault {

struct RecoverySettings {
  std::string restore_command;  // as PostgreSQL runs it, with %f and %p
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
};

// The file's content with these settings at its end. What an earlier restore
// of this program wrote there goes; everything else stays, but whatever would make a
// recovery to a target wait or run commands (left over from a delayed standby, say) is
// taken back by a setting of its own.
[[nodiscard]] std::string with_recovery_settings(const std::string& auto_conf,
                                                 const RecoverySettings& settings);

}  // namespace walvault
