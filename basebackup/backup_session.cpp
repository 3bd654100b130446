#include "basebackup/backup_session.h"

#include <array>

#include "base/error.h"

namespace walvault {
namespace {

constexpr int newer_names_since_major = 15;

std::string quoted(const std::string& text) {
  // Whatever standard_conforming_strings is.
  std::string quoted = "E'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') quoted.push_back(c);
    quoted.push_back(c);
  }
  return quoted + "'";
}

Lsn lsn_of(const std::optional<std::string>& text) {
  const auto lsn = Lsn::parse(text.value_or(""));
  if (!lsn) throw Error(ErrorKind::corrupt, "the server's answer to the backup is not an LSN");
  return *lsn;
}

Bytes bytes_of_hex(const std::optional<std::string>& text) {
  auto bytes = from_hex(text.value_or(""));
  if (!bytes) throw Error(ErrorKind::corrupt, "the server's backup_label came damaged");
  return std::move(*bytes);
}

// As its bytes are, whatever encoding the database has.
std::string as_hex(const std::string& column) {
  return "pg_catalog.encode(pg_catalog.convert_to(" + column +
         ", pg_catalog.getdatabaseencoding()), 'hex')";
}

}  // namespace

// Both at once: what may begin and not end would be told after all was read.
void BackupSession::expect_allowed() {
  const auto functions =
      major_ >= newer_names_since_major
          ? std::array<std::string, 2>{"pg_backup_start(text, boolean)", "pg_backup_stop(boolean)"}
          : std::array<std::string, 2>{"pg_start_backup(text, boolean, boolean)",
                                       "pg_stop_backup(boolean, boolean)"};
  for (const auto& function : functions) {
    const auto rows = sql_.query("SELECT pg_catalog.has_function_privilege('pg_catalog." +
                                 function + "', 'EXECUTE'), current_user");
    if (rows.at(0).at(0) != "f") continue;
    throw Error(ErrorKind::usage, "the user of the connection may not take this backup",
                "It needs the function " + function + ".",
                "GRANT EXECUTE ON FUNCTION " + functions[0] + ", " + functions[1] + " TO " +
                    rows.at(0).at(1).value_or("it") + "; or use --via protocol.");
  }
}

Lsn BackupSession::start(const std::string& label, bool fast_checkpoint) {
  expect_allowed();
  const std::string fast = fast_checkpoint ? "true" : "false";
  const auto call = major_ >= newer_names_since_major
                        ? "pg_backup_start(" + quoted(label) + ", " + fast + ")"
                        : "pg_start_backup(" + quoted(label) + ", " + fast + ", false)";
  return lsn_of(sql_.query("SELECT pg_catalog." + call).at(0).at(0));
}

BackupSession::End BackupSession::stop() {
  const std::string call =
      major_ >= newer_names_since_major ? "pg_backup_stop(false)" : "pg_stop_backup(false, false)";
  const auto rows = sql_.query("SELECT lsn, " + as_hex("labelfile") + ", " + as_hex("spcmapfile") +
                               " FROM pg_catalog." + call);
  const auto& row = rows.at(0);
  return {.stop = lsn_of(row.at(0)),
          .label = bytes_of_hex(row.at(1)),
          .tablespace_map = bytes_of_hex(row.at(2))};
}

}  // namespace walvault
