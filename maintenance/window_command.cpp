#include <memory>
#include <nlohmann/json.hpp>

#include "catalog/records/backup_list.h"
#include "catalog/recovery/recovery_window.h"
#include "maintenance/maintenance_commands.h"

namespace walvault {
namespace {

using nlohmann::ordered_json;

struct Options {
  std::string reason;
  bool yes = false;
};

std::string gap_text(const WalGap& gap) {
  return "timeline " +
         (gap.timeline.branch == 0 ? std::to_string(gap.timeline.timeline.value)
                                   : gap.timeline.text()) +
         ", " + gap.from.text() + " to " + gap.to.text() + ": " +
         (gap.damage.empty() ? "not archived" : gap.damage);
}

void accept_gap(Program& program, const Options& options) {
  if (options.reason.empty() || options.reason.size() > gap_reason_bytes_max) {
    throw Error(ErrorKind::usage, "a loss is accepted with a reason, for the record",
                "It may have " + std::to_string(gap_reason_bytes_max) + " bytes.",
                "--reason 'the archive disk was full'");
  }
  if (options.reason == expired_reason) {
    throw Error(
        ErrorKind::usage, "\"expired\" is no reason for a loss",
        "With that word walvault expire records what it has deleted, which no backup needs.",
        "Say how the WAL was lost: --reason 'the archive disk was full'");
  }
  const auto cluster = program.config().cluster();
  const auto opened = program.open_repository();
  const auto identity = get_cluster(opened.repository, cluster);
  const auto archive = WalArchive(opened.repository, identity).at_this_moment(true);
  const auto list = list_backups(opened.repository, cluster);
  auto moments = recoverable_moments({archive, list.backups});
  std::erase_if(moments.gaps, [](const WalGap& gap) { return gap.state != GapState::open; });
  if (moments.gaps.empty()) {
    throw Error(ErrorKind::not_found, "there is no gap to accept",
                "Every gap in the WAL of cluster " + cluster + " is accepted, or there is none.",
                "walvault info shows them.");
  }
  ordered_json documents = ordered_json::array();
  std::string text;
  for (const auto& gap : moments.gaps) {
    text += "  " + gap_text(gap) + "\n";
    documents.push_back({{"timeline", gap.timeline.timeline.value},
                         {"branch", gap.timeline.branch},
                         {"from_lsn", gap.from.text()},
                         {"to_lsn", gap.to.text()}});
  }
  if (!options.yes) {
    throw Error(ErrorKind::usage, "accepting a loss has to be confirmed",
                "No moment after one of these can be restored from a backup before it:\n" + text,
                "Look for the segments on the old server first (walvault wal rescue). If they are "
                "gone, add --yes.");
  }
  // One by one: what a crash leaves out is asked for again.
  const auto now = system_clock().now();
  for (const auto& gap : moments.gaps) {
    put_accepted_gap(opened.repository, identity,
                     {.timeline = gap.timeline,
                      .from = gap.from,
                      .to = gap.to,
                      .reason = options.reason,
                      .when = now});
  }
  // Whether anything behind them can be restored already.
  bool has_backup = true;
  for (const auto& gap : moments.gaps) {
    bool found = false;
    for (const auto& backup : list.backups) {
      found |= backup.identity_number == identity.number && backup.start >= gap.to;
    }
    has_backup &= found;
  }
  program.print({{"accepted", documents}, {"needs_backup", !has_backup}},
                "Accepted as lost:\n" + text +
                    (has_backup ? ""
                                : "No backup was taken after it yet. Take one now: what follows "
                                  "can be restored only from there: walvault backup --cluster " +
                                      cluster + "\n"));
}

}  // namespace

void add_window_command(Program& program, CommandLine& commands) {
  auto& window = commands.command("window", "Records which gaps in the WAL are known");
  const auto options = std::make_shared<Options>();
  auto& command = window.command("accept-gap", "Records that missing WAL is lost for good",
                                 [&program, options] { accept_gap(program, *options); });
  command.required_option("--reason", options->reason, "The reason, in words");
  command.flag("--yes", options->yes, "Confirm it");
}

}  // namespace walvault
