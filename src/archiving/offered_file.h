// A file that PostgreSQL offers for archiving, taken apart once.
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "postgres/segment_name.h"

namespace walvault {

struct OfferedFile {
  // `offered`: as %p gives it, relative to the data directory, or absolute.
  // NOLINTNEXTLINE(google-explicit-constructor): a path is what is offered
  OfferedFile(std::string offered)
      : path(std::move(offered)), name(path.substr(path.find_last_of('/') + 1)) {
    const auto slash = path.find_last_of('/');
    directory = slash == std::string::npos ? "." : path.substr(0, slash);
  }

  std::string path;
  std::string name;  // under which it is archived
  std::string directory;

  // nullopt: the name is none of a WAL file.
  [[nodiscard]] std::optional<WalFileKind> kind() const { return classify_wal_file(name); }
  // nullopt: it is no whole segment of that size.
  [[nodiscard]] std::optional<SegmentName> segment(WalGeometry geometry) const {
    return SegmentName::parse(name, geometry);
  }
  // Another one in the same directory.
  [[nodiscard]] OfferedFile sibling(const std::string& other) const {
    return {directory + "/" + other};
  }
  // The same, of a segment that was not filled.
  [[nodiscard]] OfferedFile as_partial() const {
    auto partial = *this;
    partial.name += ".partial";
    return partial;
  }
};

}  // namespace walvault
