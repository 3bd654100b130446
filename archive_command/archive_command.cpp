#include "archive_command/archive_command.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "app/cancellation.h"
#include "app/log.h"
#include "app/program.h"
#include "archiving/further_archives.h"
#include "archiving/push_ahead.h"
#include "archiving/server_history.h"
#include "archiving/server_notes.h"
#include "archiving/wal_gate.h"

namespace walvault {
namespace {

// What one call may take of the server's processors.
constexpr unsigned threads_max = 4;

// Of all that a segment is stored in: a note for some of them is none.
std::string places_of(const Config& config) {
  auto places = config.repository().place();
  for (const auto& [number, place] : config.archived_beside()) {
    places += (place.required ? " and " : " or ") + place.place();
  }
  return places;
}

struct Pushed {
  PushAheadResult result;
  std::vector<FurtherArchives::Absence> absences = {};
};

// What the next call's gate asks for, and a rescue of what this server could not archive any more.
void note_last(const ServerNotes& server, const std::string& place, const PushResult& archived) {
  const auto kind = classify_wal_file(archived.name);
  // The history files of two promotions may be the same.
  const bool tells =
      kind == WalFileKind::segment || (kind == WalFileKind::timeline && !archived.already_there);
  if (!tells || !archived.digest) return;
  server.put_last({.place = place, .key = archived.key, .digest = *archived.digest});
}

// Damage of what nobody offered keeps nothing from being archived.
void bring_what_is_never_offered(const WalArchive& archive, const OfferedFile& offered,
                                 const SegmentName& segment, const PushOptions& options) {
  try {
    archive_what_is_never_offered(archive, offered, segment, system_clock(), options);
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::unavailable || error.kind() == ErrorKind::internal) throw;
    log_warning("what this server has from before " + offered.name +
                ", and the archive lacks, could not be archived: " + one_line(error));
  }
}

Pushed push(Program& program, const OfferedFile& offered, Caching caching) {
  const auto& config = program.config();
  const auto place = places_of(config);
  const auto server = ServerNotes::of_current_directory();
  const auto archiver = server ? server->archiver(system_randomness()) : std::nullopt;
  const bool is_alone = config.archived_beside().empty();
  auto ahead = config.segments_ahead();
  auto notes = ahead > 0 ? Acknowledgements::of_current_directory(place) : std::nullopt;
  if (notes && !is_alone) notes->believe_recent_only(system_clock());
  if (notes && config.is_remote()) {
    const auto known = notes->take_recent(config.cluster(), offered, system_clock().now());
    if (known) {
      if (server) note_last(*server, place, *known);
      return {.result = {.offered = *known}};
    }
  }
  const auto opened = program.open_repository(caching);
  const WalArchive archive(opened.repository,
                           get_cluster(opened.repository, config.cluster(), ErrorKind::conflict));
  FurtherArchives further(config, program.writer(), archive.identity());
  PushOptions options{.compression = config.wal_compression,
                      .threads = std::min(config.worker_threads(), threads_max)};
  options.elsewhere = [&](const PushOptions::DoIn& what) { return further.each(what); };
  options.origin.archiver = archiver;
  const auto segment = offered.segment(archive.identity().geometry);
  const auto last = segment && server ? server->last() : std::nullopt;
  if (segment) {
    options.origin.before = expect_follows_archived(archive, offered, *segment, place, last);
    if (!find_noted_before(archive, *segment, place, last)) {
      bring_what_is_never_offered(archive, offered, *segment, options);
    }
  }
  if (further.lacks_one()) ahead = 0;
  Pushed pushed;
  pushed.result = push_and_ahead(
      archive, offered, system_clock(),
      {.push = options,
       .ahead = ahead,
       // With what is compressed at most as much memory as so many segments have. A directory
       // gets one segment after another.
       .uploads = std::min(config.profile().segment_uploads, further.segment_uploads())},
      notes ? &*notes : nullptr);
  if (!pushed.result.offered.everywhere) pushed.absences = further.absences();
  if (server) note_last(*server, place, pushed.result.offered);
  return pushed;
}

// The cluster may have been registered or upgraded less than a minute ago.
Pushed push(Program& program, const OfferedFile& offered) {
  if (!program.config().is_remote()) return push(program, offered, Caching::none);
  try {
    return push(program, offered, Caching::registration);
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::unavailable || error.kind() == ErrorKind::internal) throw;
  }
  return push(program, offered, Caching::none);
}

void warn_of_those_left_out(const Config& config) {
  if (!config.leaves_others_out()) return;
  log_warning("the repository " + config.repository().url +
              " is none of those in the configuration file: what it says of further ones does not "
              "hold, and nothing is archived to them");
}

void archive_file(Program& program, const std::string& path) {
  warn_of_those_left_out(program.config());
  const OfferedFile offered(path);
  const auto [pushed, absences] = push(program, offered);
  const auto& result = pushed.offered;
  if (!result.damage.empty()) {
    log_warning("WAL segment " + result.name + " is archived, but damaged: " + result.damage +
                "; nothing after it can be recovered from this archive. Check the disk of pg_wal, "
                "and take a new backup");
  }
  if (result.name != offered.name) {
    log_info("WAL segment " + offered.name + " was not filled: it is archived as " + result.name);
  }
  log_debug("archived " + result.name + (result.already_there ? " (it was there already)" : ""));
  nlohmann::json archived = {{"name", result.name},
                             {"already_there", result.already_there},
                             {"size_bytes", result.plain_bytes},
                             {"stored_bytes", result.stored_bytes},
                             {"ahead", pushed.ahead}};
  for (const auto& absence : absences) {
    log_warning("repository " + std::to_string(absence.number) + ", " + absence.url +
                ", is without " + result.name + ": " + absence.why +
                "; walvault copy brings what it lacks");
    archived["absent"].push_back(
        {{"repository", absence.number}, {"url", absence.url}, {"detail", absence.why}});
  }
  if (!result.damage.empty()) archived["damage"] = result.damage;
  // PostgreSQL shows what its archive_command prints in the server's log:
  // success says nothing there.
  program.print({{"archived", archived}}, "");
}

}  // namespace

int archive_main(int argc, char** argv) {
  ignore_broken_pipes();
  Program program(
      "walvault-archive",
      "Archives one WAL file; for archive_command = 'walvault-archive --cluster NAME %p'");
  std::string path;
  program.command_line().argument("PATH", path, "The file, as PostgreSQL passes it in %p");
  program.command_line().action([&] { archive_file(program, path); });
  // Above 125 PostgreSQL's archiver itself would exit; no kind comes near.
  return program.run(argc, argv);
}

}  // namespace walvault
