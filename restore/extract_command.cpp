#include "restore/extract_command.h"

#include <fcntl.h>
#include <unistd.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "app/cancellation.h"
#include "app/hold_backup.h"
#include "app/log.h"
#include "app/program_reporter.h"
#include "base/file.h"
#include "base/format.h"
#include "catalog/records/backup_info.h"
#include "catalog/records/backup_list.h"
#include "catalog/records/cluster.h"
#include "repository/tree_reader.h"

namespace walvault {
namespace {

struct Options {
  std::string backup;
  std::string path;
  std::optional<std::string> output;
};

// Where the bytes go: standard output, or a new file that is there whole or
// not at all.
class Output {
 public:
  explicit Output(const std::optional<std::string>& path) {
    if (!path) return;
    if (find_status(*path)) {
      throw Error(ErrorKind::conflict, "\"" + *path + "\" is there already", {},
                  "Choose another name with --output, or move that file away.");
    }
    path_ = *path;
    file_ = open_file(path_, O_WRONLY | O_CREAT | O_EXCL);
  }
  ~Output() {
    if (file_ && !finished_) ::unlink(path_.c_str());
  }
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  void write(ByteView bytes) {
    if (file_) {
      write_all(file_, bytes, path_);
    } else {
      write_all(standard_output_, bytes, "standard output");
    }
    size_ += bytes.size();
  }

  void finish() {
    if (file_) {
      sync_file(file_, path_);
      sync_name(path_);
    }
    finished_ = true;
  }

  [[nodiscard]] std::uint64_t size() const { return size_; }

 private:
  // A copy, because a FileDescriptor closes what it has.
  FileDescriptor standard_output_{::dup(STDOUT_FILENO)};
  std::string path_;
  FileDescriptor file_;
  std::uint64_t size_ = 0;
  bool finished_ = false;
};

// The file table's entry of that path; Error{not_found} otherwise.
FileEntry find_file_entry(TreeReader& tree, const Options& options) {
  std::optional<FileEntry> found;
  bool is_elsewhere = false;  // the path of something that is no file
  std::optional<std::string> named_alike;
  const auto name = options.path.substr(options.path.rfind('/') + 1);
  tree.for_each_entry([&](FileEntry& entry) {
    if (entry.path == options.path) {
      is_elsewhere = entry.kind != EntryKind::file;
      if (!is_elsewhere) found = std::move(entry);
    } else if (entry.path.ends_with("/" + name)) {
      named_alike = entry.path;
    }
  });
  if (found) return *found;
  if (is_elsewhere) {
    throw Error(ErrorKind::usage,
                "\"" + options.path + "\" is a directory or a link in backup " + options.backup, {},
                "Name a file.");
  }
  throw Error(ErrorKind::not_found,
              "there is no file \"" + options.path + "\" in backup " + options.backup, {},
              named_alike ? "Did you mean \"" + *named_alike + "\"?"
                          : "Paths are relative to the data directory; pg_relation_filepath() "
                            "gives a table's.");
}

void run_extract(Program& program, const Options& options) {
  catch_signals();
  if (program.options().json && !options.output) {
    throw Error(ErrorKind::usage, "--json and the file cannot both go to standard output", {},
                "Give --output FILE.");
  }
  const auto cluster = program.config().cluster();
  const auto opened = program.open_repository(Caching::content);
  (void)get_cluster(opened.repository, cluster);
  const auto list = list_backups(opened.repository, cluster);
  const auto backup = get_backup(list.backups, options.backup);
  const auto pin = hold_backup(opened.repository, program.writer(), backup, program_reporter());
  TreeReader tree(opened.repository, backup_root_key(cluster, backup.id));
  const auto entry = find_file_entry(tree, options);

  Output output(options.output);
  tree.read_file(entry, [&](ByteView bytes) {
    check_cancelled();
    output.write(bytes);
  });
  output.finish();
  if (!options.output) return;
  program.print({{"extracted",
                  {{"backup", backup.id},
                   {"path", entry.path},
                   {"output", *options.output},
                   {"size_bytes", output.size()}}}},
                "Extracted " + entry.path + " of backup " + backup.id + ", " +
                    format_size(output.size()) + ", into " + *options.output + ".\n");
}

}  // namespace

void add_extract_command(Program& program, CommandLine& commands) {
  const auto options = std::make_shared<Options>();
  auto& command = commands.command("extract", "Reads one file out of a backup",
                                   [&program, options] { run_extract(program, *options); });
  command.argument("BACKUP", options->backup, "The backup's id");
  command.argument("PATH", options->path, "The file, relative to the data directory");
  command.option("--output", options->output,
                 "The file to write, which must not exist. Default: standard output");
}

}  // namespace walvault
