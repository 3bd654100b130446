#include "restore/restore_options.h"

#include <charconv>

#include "base/error.h"
#include "base/format.h"

namespace walvault {
namespace {

constexpr std::size_t restore_point_name_bytes_max = 63;  // MAXFNAMELEN - 1

}  // namespace

void check_agreement(const RestoreOptions& options) {
  const auto exclude = [](const std::string& what) {
    return Error(ErrorKind::usage, "these options exclude each other", what);
  };
  const bool has_target =
      options.to || options.to_lsn || options.to_xid || options.to_name || options.to_immediate;
  if (options.standby && (has_target || options.action)) {
    throw exclude(
        "A standby follows its primary for ever: --standby takes no target and no "
        "--action.");
  }
  if (options.standby && options.timeline != "latest") {
    throw exclude(
        "A standby follows its primary through promotions: --standby takes no "
        "--timeline.");
  }
  if (options.role && options.archiving) {
    throw exclude("--archiving keep means --as original, --archiving off means --as copy.");
  }
  if (options.pg && !options.standby) {
    throw exclude("--pg says what a standby follows: it goes with --standby.");
  }
  if (options.force && options.delta) {
    throw exclude("--force removes what --delta would use again.");
  }
  if (options.discard_wal && !options.force && !options.delta) {
    throw exclude(
        "--discard-wal is about a directory that is replaced: it goes with --force or --delta.");
  }
}

RecoveryTarget target_of(const RestoreOptions& options) {
  RecoveryTarget target;
  target.inclusive = !options.exclusive;
  int targets = 0;
  if (options.to) {
    ++targets;
    target.kind = TargetKind::time;
    target.asked = *options.to;
    target.time = parse_timestamp(*options.to);
  }
  if (options.to_lsn) {
    ++targets;
    target.kind = TargetKind::lsn;
    target.asked = *options.to_lsn;
    const auto lsn = Lsn::parse(*options.to_lsn);
    if (!lsn) {
      throw Error(ErrorKind::usage, "\"" + *options.to_lsn + "\" is not a WAL position", {},
                  "Write it as PostgreSQL does, for example 0/3000148.");
    }
    target.lsn = *lsn;
  }
  if (options.to_xid) {
    ++targets;
    target.kind = TargetKind::xid;
    target.asked = *options.to_xid;
    const auto* const end = options.to_xid->data() + options.to_xid->size();
    const auto [stop, failure] = std::from_chars(options.to_xid->data(), end, target.xid);
    if (failure != std::errc{} || stop != end || static_cast<std::uint32_t>(target.xid) < 3) {
      throw Error(ErrorKind::usage, "\"" + *options.to_xid + "\" is not a transaction id", {},
                  "Write the number that txid_current() or pg_current_xact_id() gives.");
    }
  }
  if (options.to_name) {
    ++targets;
    target.kind = TargetKind::name;
    target.asked = *options.to_name;
    target.name = *options.to_name;
    if (target.name.empty() || target.name.size() > restore_point_name_bytes_max ||
        target.name.find_first_of("\r\n") != std::string::npos) {
      throw Error(ErrorKind::usage, "\"" + target.name + "\" cannot name a restore point",
                  "PostgreSQL allows 1 to 63 bytes on one line.");
    }
  }
  if (options.to_immediate) {
    ++targets;
    target.kind = TargetKind::immediate;
  }
  if (targets > 1) {
    throw Error(ErrorKind::usage, "there can be only one target",
                "--to, --to-lsn, --to-xid, --to-name and --to-immediate exclude each other.");
  }
  if (options.exclusive && target.kind != TargetKind::time && target.kind != TargetKind::lsn &&
      target.kind != TargetKind::xid) {
    throw Error(ErrorKind::usage, "--exclusive goes with --to, --to-lsn or --to-xid only");
  }
  return target;
}

std::string action_of(const RestoreOptions& options, const RecoveryTarget& target) {
  if (!options.action) return "promote";
  (void)parse_choice(*options.action, "--action", {"promote", "pause", "shutdown"});
  if (target.kind == TargetKind::latest && *options.action != "promote") {
    throw Error(ErrorKind::usage, "--action " + *options.action + " needs a target",
                "Without one, recovery ends with the WAL, and PostgreSQL promotes.",
                "Give a target such as --to or --to-lsn.");
  }
  return *options.action;
}

std::vector<TablespaceMapping> mappings_of(const RestoreOptions& options) {
  std::vector<TablespaceMapping> mappings;
  for (const auto& text : options.tablespaces) {
    const auto equals = text.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == text.size()) {
      throw Error(ErrorKind::usage, "\"" + text + "\" is not a tablespace mapping", {},
                  "Write --tablespace /old/location=/new/location.");
    }
    mappings.push_back({.from = text.substr(0, equals), .to = text.substr(equals + 1)});
  }
  return mappings;
}

}  // namespace walvault
