#include "archiving/segment_check.h"

#include "base/error.h"
#include "postgres/segment_name.h"

namespace walvault {

WalSegmentHeader check_segment(const ClusterIdentity& identity, const std::string& name,
                               ByteView first) {
  const auto header = parse_wal_segment_header(first);
  const auto foreign = [&](std::string detail) {
    return Error(ErrorKind::conflict,
                 "WAL segment " + name + " does not belong to cluster " + identity.name,
                 std::move(detail),
                 "Check the --cluster of this server's archive_command. After pg_upgrade: walvault "
                 "cluster upgrade " +
                     identity.name + " --pg CONNINFO");
  };
  if (header.system_identifier != identity.system_identifier) {
    throw foreign("Its system identifier is " + std::to_string(header.system_identifier) +
                  ", registered is " + std::to_string(identity.system_identifier) + ".");
  }
  const auto major = *postgres_major_of_magic(header.page.magic);
  if (major != identity.postgres_major) {
    throw foreign("It was written by PostgreSQL " + std::to_string(major) + ", registered is " +
                  std::to_string(identity.postgres_major) + ".");
  }
  if (header.segment_bytes != identity.geometry.segment_bytes) {
    throw foreign("Its segments have " + std::to_string(header.segment_bytes) +
                  " bytes, registered are " + std::to_string(identity.geometry.segment_bytes) +
                  ".");
  }
  const auto segment = SegmentName::parse(name.substr(0, 24), identity.geometry);
  if (!segment) {
    throw Error(ErrorKind::usage, "\"" + name + "\" is not the name of a WAL segment",
                "Segments of this cluster have " + std::to_string(identity.geometry.segment_bytes) +
                    " bytes, and none has that number.");
  }
  // A timeline's first segment begins with pages copied from its ancestor, so
  // an older timeline in the header is right.
  if (header.page.page_address != segment->start(identity.geometry) ||
      header.page.timeline > segment->timeline) {
    throw Error(ErrorKind::corrupt, "the file " + name + " holds other WAL than its name says",
                "Its first page is that of " + header.page.page_address.text() + " on timeline " +
                    std::to_string(header.page.timeline.value) + ".",
                "Check the file system of pg_wal.");
  }
  return header;
}

}  // namespace walvault
