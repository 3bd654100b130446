// What a base backup holds of the data directory of a running server: the same as the
// server itself would send (backup/basebackup.c).
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/file.h"

namespace walvault {

struct LiveEntry {
  bool is_directory = false;
  std::string path;      // as in a backup: relative, pg_tblspc/OID/... for what lies in tablespaces
  std::string location;  // where it can be opened
  FileAttributes attributes;
};

class LiveDirectory {
 public:
  struct Options {
    int major = 0;
    std::uint32_t catalog_version = 0;
    // Relative; its content is left out (stats_temp_directory of 13 and 14).
    std::string statistics_directory = {};
  };

  // `root` is absolute. The tablespaces are those that are there now: asked for before
  // the backup begins, so that one that is made later is left to replay.
  LiveDirectory(std::string root, Options options);

  // Calls back for every file and directory, directories before what is in them and
  // names ascending; pg_control is left out, which has to come last. What goes
  // meanwhile may be missing or not. `skipped` is told of what no backup holds though
  // it is none of the server's own: links, sockets.
  void walk(const std::function<void(const LiveEntry&)>& each,
            const std::function<void(const std::string& path)>& skipped) const;

  // By their names in pg_tblspc, ascending: OIDs.
  [[nodiscard]] const std::vector<std::string>& tablespaces() const { return tablespaces_; }

 private:
  struct Walk;

  std::string root_;
  Options options_;
  std::string version_directory_;  // PG_15_202209061
  std::vector<std::string> tablespaces_;
  std::vector<std::string> inner_tablespaces_;  // that lie in the data directory, relative
};

}  // namespace walvault
