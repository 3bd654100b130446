#include "archiving/acknowledgements.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <sstream>
#include <vector>

#include "archiving/server_notes.h"
#include "base/directory.h"
#include "base/error.h"
#include "base/file.h"
#include "codec/crc32c.h"
#include "datadir/data_directory.h"
#include "repository/object_table.h"

namespace walvault {
namespace {

constexpr std::string_view magic = "walvault archived 4";
constexpr std::uint64_t note_bytes_max = 16384;
constexpr std::size_t segment_digits = 24;
constexpr int ancestors_max = 4;

// Of /proc/PID/stat: the name stands in brackets and may hold anything.
struct Process {
  std::string name;
  std::int64_t parent = 0;
  std::uint64_t started = 0;
};

std::optional<Process> find_process(std::int64_t pid) {
  const auto path = "/proc/" + std::to_string(pid) + "/stat";
  const auto file = find_file(path, O_RDONLY);
  if (!file) return std::nullopt;
  Bytes content(4096);
  content.resize(read_at(*file, content, 0, path));
  const std::string text(as_text(content));
  const auto open = text.find('(');
  const auto close = text.rfind(')');
  if (open == std::string::npos || close == std::string::npos || close < open) return std::nullopt;
  Process process;
  process.name = text.substr(open + 1, close - open - 1);
  std::istringstream in(text.substr(close + 1));
  std::string field;
  // State, parent, and behind 17 others the time of its start.
  constexpr int parent_field = 1;
  constexpr int started_field = 19;
  for (int i = 0; i <= started_field; ++i) {
    if (!(in >> field)) return std::nullopt;
    const auto read = [&](auto& value) {
      const auto* const end = field.data() + field.size();
      return std::from_chars(field.data(), end, value).ptr == end;
    };
    if (i == parent_field && !read(process.parent)) return std::nullopt;
    if (i == started_field && !read(process.started)) return std::nullopt;
  }
  return process;
}

}  // namespace

std::optional<Archiver> find_archiver() try {
  const auto boot = read_file("/proc/sys/kernel/random/boot_id", 256);
  std::optional<Archiver> parent;
  std::int64_t pid = ::getppid();
  for (int i = 0; i < ancestors_max && pid > 1; ++i) {
    const auto process = find_process(pid);
    if (!process) break;
    const Archiver archiver{
        .pid = pid, .started = process->started, .boot = std::string(as_text(boot))};
    if (process->name == "postgres" || process->name == "postmaster") return archiver;
    if (!parent) parent = archiver;
    pid = process->parent;
  }
  return parent;
} catch (const Error&) {
  return std::nullopt;
}

struct Acknowledgements::Note {
  Archiver archiver;
  std::string repository;  // its id
  std::string place;
  std::string key;
  std::uint64_t stored_bytes = 0;
  std::optional<Digest> digest;
  FileAttributes file;  // as it was when it was read
  Timestamp noted{};
};

std::optional<Acknowledgements> Acknowledgements::of_current_directory(std::string place) {
  const auto data = current_data_directory();
  auto archiver = find_archiver();
  if (!data || !archiver) return std::nullopt;
  return Acknowledgements(notes_directory(*data), std::move(*archiver), std::move(place));
}

const FileDescriptor* Acknowledgements::own_directory(bool makes) const {
  if (!own_directory_) {
    if (auto found = find_own_directory(AT_FDCWD, directory_, makes, true)) {
      own_directory_ = std::move(*found);
    }
  }
  return own_directory_ ? &own_directory_ : nullptr;
}

void Acknowledgements::remove_note(const FileDescriptor& directory, const std::string& name) {
  // Another directory of this user's may have been put in place of this one. A segment is larger,
  // and nothing else that PostgreSQL has is called so.
  const auto rest = std::string_view(name).substr(std::min(name.size(), segment_digits));
  const bool is_name =
      name.find_first_not_of("0123456789ABCDEF") >= std::min(name.size(), segment_digits) &&
      (rest.empty() || rest.starts_with(".part-"));
  const auto status = find_status_at(directory, name);
  if (name.size() >= segment_digits && is_name && status && S_ISREG(status->st_mode) &&
      static_cast<std::uint64_t>(status->st_size) <= note_bytes_max) {
    (void)unlink_at(directory, name, name);
  }
}

bool Acknowledgements::can_be_kept() const {
  const auto* const directory = own_directory(true);
  return directory != nullptr && ::faccessat(directory->get(), ".", W_OK | X_OK, 0) == 0;
}

void Acknowledgements::put(const WalArchive& archive, const PushResult& result) const try {
  const auto* const directory = own_directory();
  if (!result.file || directory == nullptr) return;
  ByteWriter out;
  out.string(magic);
  out.u64(static_cast<std::uint64_t>(archiver_.pid));
  out.u64(archiver_.started);
  out.string(archiver_.boot);
  out.string(archive.repository().id());
  out.string(place_);
  out.string(archive.key_of(result.name));
  out.u64(result.stored_bytes);
  out.raw(digest_or_zeros(result.digest).view());
  out.u64(result.file->device);
  out.u64(result.file->inode);
  out.u64(result.file->size);
  out.i64(result.file->modified);
  out.i64(result.file->changed);
  out.u32(result.file->mode);
  out.time(system_clock().now());
  out.u32(crc32c(out.bytes()));
  // Not synced: what a crash leaves of it is not believed, or is true.
  const auto unfinished = result.name + ".part-" + std::to_string(::getpid());
  {
    const auto file = find_file_at(*directory, unfinished, O_WRONLY | O_CREAT | O_TRUNC);
    if (!file) return;
    write_all(*file, out.bytes(), unfinished);
  }
  if (::renameat(directory->get(), unfinished.c_str(), directory->get(), result.name.c_str()) !=
      0) {
    ::unlinkat(directory->get(), unfinished.c_str(), 0);
  }
} catch (const Error&) {
  // It is archived once more, then.
}

// One that is whole, and of this archiver.
std::optional<Acknowledgements::Note> Acknowledgements::read(const std::string& name) const try {
  const auto* const directory = own_directory();
  const auto file = directory == nullptr ? std::nullopt : find_file_at(*directory, name, O_RDONLY);
  // It may have been put there while others could.
  if (!file || !is_own_file(*file)) return std::nullopt;
  Bytes content(note_bytes_max);
  content.resize(read_at(*file, content, 0, name));
  if (content.size() < sizeof(std::uint32_t)) return std::nullopt;
  const auto body = ByteView(content).first(content.size() - sizeof(std::uint32_t));
  ByteReader in(content, "a note");
  Note note;
  if (in.string() != magic) return std::nullopt;
  note.archiver.pid = static_cast<std::int64_t>(in.u64());
  note.archiver.started = in.u64();
  note.archiver.boot = in.string();
  note.repository = in.string();
  note.place = in.string();
  note.key = in.string();
  note.stored_bytes = in.u64();
  note.digest = read_optional_digest(in);
  note.file.device = in.u64();
  note.file.inode = in.u64();
  note.file.size = in.u64();
  note.file.modified = in.i64();
  note.file.changed = in.i64();
  note.file.mode = in.u32();
  note.noted = in.time();
  if (in.u32() != crc32c(body)) return std::nullopt;
  in.expect_end();
  return note.archiver == archiver_ ? std::optional(note) : std::nullopt;
} catch (const Error&) {
  return std::nullopt;
}

std::optional<Acknowledgements::Note> Acknowledgements::find(const WalArchive& archive,
                                                             const std::string& name) const {
  auto note = read(name);
  const auto& repository = archive.repository();
  if (note && recent_by_ != nullptr) {
    const auto now = recent_by_->now();
    if (note->noted > now || now - note->noted > recent) return std::nullopt;
  }
  if (!note || note->repository != repository.id() || note->place != place_ ||
      note->key != archive.key_of(name) ||
      note->file.size != archive.identity().geometry.segment_bytes) {
    return std::nullopt;
  }
  return note;
}

// Written to or replaced since, it has other times. PostgreSQL does neither behind a segment
// that is .ready, so one within the same tick of the clock is not to be feared.
bool Acknowledgements::is_of_file(const Note& note, const std::string& path) {
  const auto file = find_status(path);
  return file && attributes_in(*file) == note.file;
}

PushResult Acknowledgements::result_of(const std::string& name, const Note& note) {
  PushResult result;
  result.name = name;
  result.already_there = true;
  result.plain_bytes = note.file.size;
  result.stored_bytes = note.stored_bytes;
  result.digest = note.digest;
  result.key = note.key;
  result.file = note.file;
  return result;
}

bool Acknowledgements::has(const WalArchive& archive, const std::string& name) const {
  return find(archive, name).has_value();
}

std::optional<Digest> Acknowledgements::digest_of(const WalArchive& archive,
                                                  const std::string& name) const {
  const auto note = find(archive, name);
  return note ? note->digest : std::nullopt;
}

std::optional<PushResult> Acknowledgements::take(const WalArchive& archive,
                                                 const OfferedFile& offered) const try {
  const auto& name = offered.name;
  const auto* const directory = own_directory();
  if (directory == nullptr) return std::nullopt;
  const auto note = find(archive, name);
  remove_note(*directory, name);
  if (!note || !is_of_file(*note, offered.path) ||
      archive.repository().storage().find_size(note->key) != note->stored_bytes) {
    return std::nullopt;
  }
  return result_of(name, *note);
} catch (const Error&) {
  // What is the matter, archiving it tells.
  return std::nullopt;
}

std::optional<PushResult> Acknowledgements::take_recent(const std::string& cluster,
                                                        const OfferedFile& offered,
                                                        Timestamp now) const try {
  const auto& name = offered.name;
  const auto note = read(name);
  // A clock that was set back makes notes of the future, which are none.
  if (!note || note->place != place_ ||
      !note->key.starts_with(prefix_of(ObjectPlace::wal, cluster)) ||
      !note->key.ends_with("/" + name) || note->noted > now || now - note->noted > recent ||
      !is_of_file(*note, offered.path)) {
    return std::nullopt;
  }
  remove_note(*own_directory(), name);
  return result_of(name, *note);
} catch (const Error&) {
  return std::nullopt;
}

void Acknowledgements::forget_before(const WalArchive& archive, const std::string& name) const try {
  const auto* const directory = own_directory();
  if (directory == nullptr) return;
  for (const auto& other : names_at(*directory, directory_)) {
    // A name of other digits sorts somewhere: its note is none that is believed.
    if (other < name || !has(archive, other)) remove_note(*directory, other);
  }
} catch (const Error&) {
  // Whatever is left is not believed.
}

}  // namespace walvault
