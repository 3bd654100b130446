// A PostgreSQL data directory as a whole: looked at, held, and emptied.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "datadir/held_directory.h"

namespace walvault {

// By its path alone: each call looks anew.
class DataDirectory {
 public:
  explicit DataDirectory(std::string path) : path_(std::move(path)) {}

  [[nodiscard]] const std::string& path() const { return path_; }

  [[nodiscard]] bool is_there() const;

  // Whether it is a cluster's, as far as its names tell; false where they cannot be seen.
  [[nodiscard]] bool is_of_a_cluster() const;

  // The directories that the links in its pg_tblspc lead to.
  [[nodiscard]] std::vector<std::string> tablespaces() const;

  // Error{conflict} unless it is missing or an empty directory, where a restore may write; says
  // so when a server runs there. Error{usage} for a relative path. `what` it is, for the message.
  void expect_vacant(const std::string& what) const;

  // Error{conflict} that names the server which works there.
  void expect_stopped() const;

  // Makes it where it is missing, and holds it.
  [[nodiscard]] HeldDirectory make_and_hold(const std::optional<FileOwner>& owner = {}) const;

  // Removes its pg_control, durably: no server starts there until it has another one.
  void remove_control_file() const;

  // Removes everything that does not belong there: `belongs` is asked about each path,
  // relative, pg_tblspc/OID/PG_... for what lies in tablespaces. `tablespaces` (OID,
  // location): those whose links stay, and of which what is of this major is looked at. No
  // other link is followed but a pg_wal; lost+found stays.
  void remove_what_does_not_belong(
      int major, const std::vector<std::pair<std::uint32_t, std::string>>& tablespaces,
      const std::function<bool(const std::string&)>& belongs) const;

  // Removes what tablespaces that it links to hold of a major, but for those that lie at one of
  // `kept`.
  void remove_other_tablespaces(int major, const std::vector<std::string>& kept) const;

  // The directory that its pg_wal leads to, where that is a link; nullopt: it is none, or leads to
  // nothing.
  [[nodiscard]] std::optional<std::string> linked_wal() const;

  // A pg_wal that is a link becomes a directory of its own; what it led to stays as it is.
  void unlink_wal() const;

  // Empties it, and where a major is given what its tablespaces hold of that and of its own
  // major. pg_control goes first and durably, so that what an interruption leaves cannot be
  // started. A pg_wal that is a link stays one, to a directory that is empty.
  void clear(std::optional<int> tablespaces_of_major) const;

 private:
  std::string path_;
};

// Whether a directory of this name, PG_15_202209061, holds what a tablespace has of a cluster.
[[nodiscard]] bool is_tablespace_version(std::string_view name);

// The current directory, where a server runs its commands; nullopt when that is no data
// directory.
[[nodiscard]] std::optional<std::string> current_data_directory();

}  // namespace walvault
