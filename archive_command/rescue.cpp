#include "archive_command/rescue.h"

#include <fcntl.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "datadir/data_directory.h"
#include "postgres/control_file.h"
#include "postgres/wal_page.h"

namespace walvault {
namespace {

constexpr std::uint64_t control_file_bytes_max = 65536;

void check_data_directory(const std::string& path) {
  if (!find_status(path + "/pg_wal")) {
    throw Error(ErrorKind::not_found, "there is no pg_wal in \"" + path + "\"", {},
                "Name the data directory of the server.");
  }
  if (is_server_running(path)) {
    throw Error(ErrorKind::conflict, "a server is running in \"" + path + "\"",
                "Its postmaster.pid names a living process, and it archives its WAL itself.",
                "Stop it first if its archiver does not come to it.");
  }
}

// Whether a file of pg_wal holds the WAL that its name says, as opposed to one
// that was made ahead, zeroed, or recycled under a new name.
bool holds_its_wal(const std::string& path, const SegmentName& segment,
                   const ClusterIdentity& identity) {
  const auto file = open_file(path, O_RDONLY);
  Bytes first(wal_segment_header_bytes);
  if (read_at(file, first, 0, path) != first.size()) return false;
  try {
    const auto header = parse_wal_segment_header(first);
    return header.page.page_address == segment.start(identity.segment_bytes) &&
           header.system_identifier == identity.system_identifier;
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::corrupt) throw;
    return false;
  }
}

class Rescue {
 public:
  Rescue(const WalArchive& archive, std::string data_directory, Clock& clock,
         const PushOptions& options)
      : archive_(archive),
        pg_wal_(std::move(data_directory) + "/pg_wal"),
        clock_(clock),
        options_(options),
        names_(names_in(pg_wal_)) {
    for (const auto& name : names_in(pg_wal_ + "/archive_status")) {
      const auto dot = name.rfind('.');
      const auto suffix = name.substr(dot == std::string::npos ? name.size() : dot);
      // Either mark is set when a segment is complete.
      if (suffix == ".ready" || suffix == ".done") complete_.insert(name.substr(0, dot));
    }
  }

  RescueResult run() {
    // Histories first, as a server does: they say what the segments belong to.
    for (const auto& name : names_) {
      if (classify_wal_file(name) == WalFileKind::timeline) push(name, WalFileKind::timeline);
    }
    const auto segment_bytes = archive_.identity().segment_bytes;
    std::map<TimelineId, std::vector<SegmentName>> segments;
    for (const auto& name : names_) {
      const auto kind = classify_wal_file(name);
      if (kind == WalFileKind::partial || kind == WalFileKind::backup_history) push(name, *kind);
      const auto segment = SegmentName::parse(name, segment_bytes);
      if (kind != WalFileKind::segment || !segment) continue;
      if (holds_its_wal(pg_wal_ + "/" + name, *segment, archive_.identity())) {
        segments[segment->timeline].push_back(*segment);
      } else {
        ++result_.passed_over;
      }
    }
    for (const auto& [timeline, list] : segments) {
      for (const auto& segment : list) {
        const auto name = segment.text(segment_bytes);
        const bool is_whole = segment != list.back() || complete_.contains(name);
        push(name, is_whole ? WalFileKind::segment : WalFileKind::partial);
      }
    }
    return std::move(result_);
  }

 private:
  void push(const std::string& name, WalFileKind kind) {
    const auto path = pg_wal_ + "/" + name;
    const bool is_rest =
        kind == WalFileKind::partial && classify_wal_file(name) == WalFileKind::segment;
    try {
      result_.archived.push_back(is_rest ? push_partial_segment(archive_, path, clock_, options_)
                                         : push_wal_file(archive_, path, clock_, options_));
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::unavailable) throw;
      result_.failed.push_back({.name = name, .why = error.message() + ": " + error.detail()});
    }
  }

  const WalArchive& archive_;
  std::string pg_wal_;
  Clock& clock_;
  PushOptions options_;
  std::vector<std::string> names_;
  std::set<std::string> complete_;
  RescueResult result_;
};

}  // namespace

std::optional<ClusterIdentity> find_identity_of(const std::vector<ClusterIdentity>& identities,
                                                const std::string& data_directory) {
  const auto path = data_directory + "/global/pg_control";
  if (!find_status(path)) return identities.back();
  const auto control = parse_control_file(read_file(path, control_file_bytes_max));
  const auto it =
      std::ranges::find(identities, control.system_identifier, &ClusterIdentity::system_identifier);
  if (it == identities.end()) return std::nullopt;
  return *it;
}

RescueResult rescue_wal(const WalArchive& archive, const std::string& data_directory, Clock& clock,
                        const PushOptions& options) {
  check_data_directory(data_directory);
  return Rescue(archive, data_directory, clock, options).run();
}

}  // namespace walvault
