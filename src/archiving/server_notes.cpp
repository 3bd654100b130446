#include "archiving/server_notes.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstdlib>

#include "base/error.h"
#include "base/file.h"
#include "codec/crc32c.h"
#include "datadir/data_directory.h"

namespace walvault {
namespace {

constexpr std::string_view archiver_magic = "walvault archiver 1";
constexpr std::string_view last_magic = "walvault last 1";
constexpr const char* archiver_name = "archiver";
constexpr const char* last_name = "last";
constexpr std::size_t note_bytes_max = 16384;

std::string this_machine() {
  std::string text;
  try {
    text = as_text(read_file("/etc/machine-id", 256));
  } catch (const Error&) {
    // Minimal containers have none.
  }
  std::array<char, HOST_NAME_MAX + 1> host{};
  if (::gethostname(host.data(), host.size() - 1) == 0) text += host.data();
  return text;
}

std::optional<ArchiverNote> note_of(const std::string& data_directory) {
  const auto status = find_status(data_directory);
  if (!status) return std::nullopt;
  ArchiverNote note;
  note.device = status->st_dev;
  note.inode = status->st_ino;
  note.machine = this_machine();
  return note;
}

// Without its checksum; nullopt: there is no whole one.
std::optional<Bytes> read_note(const FileDescriptor& directory, const char* name) {
  const auto file = find_file_at(directory, name, O_RDONLY);
  if (!file) return std::nullopt;
  Bytes content(note_bytes_max);
  content.resize(read_at(*file, content, 0, name));
  if (content.size() < sizeof(std::uint32_t)) return std::nullopt;
  const auto body = content.size() - sizeof(std::uint32_t);
  ByteReader crc(ByteView(content).subspan(body), name);
  if (crc.u32() != crc32c(ByteView(content).first(body))) return std::nullopt;
  content.resize(body);
  return content;
}

// Not synced: what a crash leaves of it is whole or is not believed.
void write_note(const FileDescriptor& directory, const char* name, ByteWriter& out) {
  out.u32(crc32c(out.bytes()));
  // One name: what a killed call left is written over.
  const auto unfinished = std::string(name) + ".part";
  {
    const auto file = find_file_at(directory, unfinished, O_WRONLY | O_CREAT | O_TRUNC);
    if (!file) return;
    write_all(*file, out.bytes(), unfinished);
  }
  (void)::renameat(directory.get(), unfinished.c_str(), directory.get(), name);
}

std::optional<ArchiverNote> read_archiver(const FileDescriptor& directory) try {
  const auto content = read_note(directory, archiver_name);
  if (!content) return std::nullopt;
  ByteReader in(*content, archiver_name);
  if (in.string() != archiver_magic) return std::nullopt;
  ArchiverNote note;
  std::ranges::copy(in.raw(note.id.size()), note.id.begin());
  note.device = in.u64();
  note.inode = in.u64();
  note.machine = in.string();
  in.expect_end();
  return note;
} catch (const Error&) {
  // Of another layout, or none at all: it is drawn anew.
  return std::nullopt;
}

std::optional<LastArchived> read_last(const FileDescriptor& directory, const RandomId& archiver) {
  const auto content = read_note(directory, last_name);
  if (!content) return std::nullopt;
  ByteReader in(*content, last_name);
  RandomId noted{};
  if (in.string() != last_magic) return std::nullopt;
  std::ranges::copy(in.raw(noted.size()), noted.begin());
  if (noted != archiver) return std::nullopt;
  LastArchived last;
  last.place = in.string();
  last.key = in.string();
  last.digest = Digest::read(in);
  in.expect_end();
  return last;
}

// As the server knows it, whose working directory is none by a link.
std::string real_directory(const std::string& data_directory) {
  std::array<char, PATH_MAX> real{};
  const bool is_there = ::realpath(data_directory.c_str(), real.data()) != nullptr;
  return is_there ? real.data() : data_directory;
}

// That of a data directory for who only looks: the server's own, or this user's; root looks at
// others' directories. None: what stands there is not believed.
FileDescriptor trusted_directory(const std::string& data_directory) {
  const auto path = notes_directory(real_directory(data_directory));
  FileDescriptor directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  struct stat status {};
  if (!directory || ::fstat(directory.get(), &status) != 0) return {};
  const auto data = find_status(data_directory);
  const bool is_own = status.st_uid == ::geteuid() || (data && data->st_uid == status.st_uid);
  if (!is_own || (status.st_mode & 022) != 0) return {};
  return directory;
}

}  // namespace

std::string notes_directory(const std::string& data_directory) {
  return data_directory + ".walvault-archived";
}

std::optional<ArchiverNote> find_archiver_note(const std::string& data_directory) try {
  const auto directory = trusted_directory(data_directory);
  return directory ? read_archiver(directory) : std::nullopt;
} catch (const Error&) {
  return std::nullopt;
}

std::optional<LastArchived> find_last_archived(const std::string& data_directory) try {
  const auto directory = trusted_directory(data_directory);
  const auto archiver = find_archiver_id(data_directory);
  return directory && archiver ? read_last(directory, *archiver) : std::nullopt;
} catch (const Error&) {
  return std::nullopt;
}

bool is_of_this_machine(const ArchiverNote& note) { return note.machine == this_machine(); }

bool is_of_directory(const ArchiverNote& note, const std::string& data_directory) {
  const auto now = note_of(data_directory);
  return now && note.device == now->device && note.inode == now->inode &&
         note.machine == now->machine;
}

std::optional<RandomId> find_archiver_id(const std::string& data_directory) {
  const auto note = find_archiver_note(data_directory);
  return note && is_of_directory(*note, data_directory) ? std::optional(note->id) : std::nullopt;
}

std::optional<RandomId> draw_archiver_id(const std::string& data_directory,
                                         Randomness& randomness) {
  return ServerNotes(real_directory(data_directory)).archiver(randomness);
}

std::optional<ServerNotes> ServerNotes::of_current_directory() {
  auto data = current_data_directory();
  return data ? std::optional(ServerNotes(std::move(*data))) : std::nullopt;
}

const FileDescriptor* ServerNotes::directory() const {
  if (!directory_) {
    if (auto found = find_own_directory(AT_FDCWD, notes_directory(data_directory_), true, true)) {
      directory_ = std::move(*found);
    }
  }
  return directory_ ? &directory_ : nullptr;
}

std::optional<RandomId> ServerNotes::archiver(Randomness& randomness) const try {
  if (archiver_) return archiver_;
  const auto* const directory = this->directory();
  auto own = note_of(data_directory_);
  if (directory == nullptr || !own) return std::nullopt;
  const auto kept = read_archiver(*directory);
  if (kept) own->id = kept->id;
  if (kept != own) {
    // None yet, or that of the directory that this one is a copy of.
    own->id = randomness.id();
    ByteWriter out;
    out.string(archiver_magic);
    out.raw(own->id);
    out.u64(own->device);
    out.u64(own->inode);
    out.string(own->machine);
    write_note(*directory, archiver_name, out);
    if (read_archiver(*directory) != own) return std::nullopt;
  }
  archiver_ = own->id;
  return archiver_;
} catch (const Error&) {
  return std::nullopt;
}

void ServerNotes::put_last(const LastArchived& last) const try {
  const auto* const directory = this->directory();
  if (directory == nullptr || !archiver_) return;
  ByteWriter out;
  out.string(last_magic);
  out.raw(*archiver_);
  out.string(last.place);
  out.string(last.key);
  out.raw(last.digest.view());
  write_note(*directory, last_name, out);
} catch (const Error&) {
  // The next call compares the files, then.
}

std::optional<LastArchived> ServerNotes::last() const try {
  const auto* const directory = this->directory();
  return directory != nullptr && archiver_ ? read_last(*directory, *archiver_) : std::nullopt;
} catch (const Error&) {
  return std::nullopt;
}

}  // namespace walvault
