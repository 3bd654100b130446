#include "restore/restored_server_commands.h"

#include <unistd.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "app/cancellation.h"
#include "base/file.h"
#include "base/format.h"
#include "base/path.h"
#include "datadir/data_directory.h"
#include "postgres/control_file.h"
#include "restore/recovery_settings.h"

namespace walvault {
namespace {

struct Options {
  std::string pgdata;
  std::string role;
};

// A data directory's postgresql.auto.conf, which has its owner and mode from the server.
class AutoConf {
 public:
  explicit AutoConf(const std::string& data_directory)
      : path_(data_directory + "/postgresql.auto.conf") {
    if (!find_status(data_directory + "/" + std::string(control_file_path))) {
      throw Error(ErrorKind::not_found, "\"" + data_directory + "\" is no data directory",
                  "It has no " + std::string(control_file_path) + ".",
                  "Name the server's data directory with --pgdata.");
    }
    const auto status = find_status(path_);
    if (status) {
      mode_ = status->st_mode & 07777;
      owner_ = status->st_uid;
      content_ = as_text(read_file(path_, bytes_max));
    }
  }

  [[nodiscard]] const std::string& content() const { return content_; }

  // False: it is so already.
  [[nodiscard]] bool replace(const std::string& content) const {
    if (content == content_) return false;
    if (owner_ != ::geteuid()) {
      throw Error(ErrorKind::usage, "\"" + path_ + "\" belongs to another user",
                  "The server could not change it any more.", "Run it as the server's user.");
    }
    replace_file_durably(path_, as_bytes(content), mode_);
    return true;
  }

 private:
  static constexpr std::size_t bytes_max = 64 << 20;

  std::string path_;
  std::string content_;
  mode_t mode_ = 0600;
  uid_t owner_ = ::geteuid();
};

// While recovery.signal is there, recovery goes on, or begins again after a crash, and needs all.
void end_recovery(Program& program, const Options& options) {
  ignore_broken_pipes();
  const auto data = absolute_path(options.pgdata);
  const AutoConf auto_conf(data);
  for (const auto* const signal : {"/recovery.signal", "/standby.signal"}) {
    if (find_status(data + signal)) {
      throw Error(ErrorKind::conflict, "the server has not ended its recovery",
                  "\"" + data + signal + "\" is there.", "Nothing was changed.");
    }
  }
  const bool changed = auto_conf.replace(without_recovery_target(auto_conf.content()));
  program.print({{"recovery_ended", {{"changed", changed}}}},
                changed ? "The settings of the recovery are taken back.\n"
                        : "There are no settings of a recovery.\n");
}

void set_role(Program& program, const Options& options) {
  const bool keeps = parse_choice(options.role, "archiving", {"keep", "off"}) == "keep";
  const auto data = absolute_path(options.pgdata);
  const AutoConf auto_conf(data);
  const bool changed = auto_conf.replace(with_role(auto_conf.content(), keeps));
  program.print(
      {{"archiving", keeps ? "keep" : "off"}, {"changed", changed}},
      !changed ? (keeps ? "Nothing in postgresql.auto.conf keeps this server from archiving.\n"
                        : "This server is a copy already.\n")
      : keeps  ? "This server archives as postgresql.conf says, runs logical replication workers "
                 "and heeds synchronous standbys, once it is restarted.\nWhere the original still "
                 "runs, stop that first. What it wrote as a copy is not archived: take a backup "
                 "at once (walvault backup), and then: walvault check\n"
               : "This server is a copy: archiving, logical replication workers and synchronous "
                 "standbys are off, once it is restarted.\n");
}

}  // namespace

void add_recovery_ended_command(Program& program, CommandLine& commands) {
  const auto options = std::make_shared<Options>();
  auto& command = commands.command(
      "recovery-ended",
      "Takes back the settings of a recovery; a restored server runs it when it has recovered",
      [&program, options] { end_recovery(program, *options); });
  command.required_option("--pgdata", options->pgdata, "The server's data directory");
}

void add_archiving_command(Program& program, CommandLine& commands) {
  const auto options = std::make_shared<Options>();
  auto& command = commands.command("archiving", "Makes a restored server an original or a copy",
                                   [&program, options] { set_role(program, *options); });
  command.argument("ROLE", options->role,
                   "keep: it archives and goes on with the history; off: it is a copy");
  command.required_option("--pgdata", options->pgdata, "The server's data directory");
}

}  // namespace walvault
