#include "archiving/push.h"

#include <fcntl.h>

#include <algorithm>

#include "archiving/compressed_file.h"
#include "archiving/segment_check.h"
#include "archiving/wal_gate.h"
#include "base/error.h"
#include "base/file.h"
#include "base/path.h"
#include "catalog/recovery/left_timelines.h"
#include "catalog/wal/stored_summary.h"
#include "postgres/timeline_history.h"

namespace walvault {
namespace {

constexpr std::uint64_t small_file_bytes_max = 1u << 20;

Timestamp modified_time(const FileAttributes& file) {
  return Timestamp(
      std::chrono::duration_cast<Timestamp::duration>(std::chrono::nanoseconds(file.modified)));
}

CompressOptions compress_options(const PushOptions& options) {
  return {.compression = options.compression, .threads = options.threads};
}

// Checks a segment's first bytes, records what they say, and compresses all of
// it. REQUIRES: the name is set, and the size is right.
WalSegmentHeader compress_segment(const WalArchive& archive, ByteView first,
                                  const ReadContent& read, const PushOptions& options,
                                  CompressedFile& compressed, PushResult& result) {
  auto& header = compressed.header;
  const auto segment = check_segment(archive.identity(), header.name, first);
  header.page_magic = segment.page.magic;
  header.start = segment.page.page_address;
  WalSummarizer summarizer(segment, header.start, timeline_of(header.name));
  compress_content(read, compress_options(options), archive.repository().buffers(), &summarizer,
                   compressed);
  const auto& summary = compressed.summary.emplace(summarizer.finish());
  // A .partial ends early as a rule.
  if (summary.stop &&
      (header.kind == WalFileKind::segment || summary.stop->reason == WalStopReason::damage)) {
    result.damage = summary.stop->text;
  }
  return segment;
}

// Whether a segment was never filled: behind the page in which its WAL stops there is none of its
// own, but zeros or old pages. In that page itself old bytes may follow, which look like damage.
bool is_unfilled(const CompressedFile& file, const WalSegmentHeader& segment,
                 const ReadContent& read) {
  const auto& stop = file.summary->stop;
  if (!stop) return false;
  const auto start = file.header.start.value;
  const auto bytes = file.header.plain_bytes;
  const auto offset = std::min(stop->at.value - start, bytes - 1);
  auto behind = offset / segment.page_bytes * segment.page_bytes + segment.page_bytes;
  if (behind >= bytes) return file.header.content_bytes <= offset;
  Bytes header(wal_segment_header_bytes);
  for (; behind < bytes; behind += segment.page_bytes) {
    read(header, behind);
    if (wal_page_address(header).value == start + behind) return false;
  }
  return true;
}

// Of a segment that ends with a switch, what its file holds behind that is of no meaning: a standby
// that was promoted before it received the zeros has what the file held before. Then what counts is
// what lies before it.
bool is_same_up_to_a_switch(const WalArchive& archive, const std::string& key,
                            const ObjectContent& offered, const CompressedFile& file) {
  if (!file.summary || !file.summary->switched) return false;
  const auto there = archive.find_summary(key);
  if (!there || !there->summary.switched || there->summary.last != file.summary->last ||
      (file_digest_tells(there->summary, there->header.content_bytes) &&
       file_digest_tells(*file.summary, file.header.content_bytes))) {
    return false;
  }
  const auto object = archive.repository().storage().find(key);
  if (!object) return false;
  Bytes own;
  for (const auto part : offered.parts()) own.insert(own.end(), part.begin(), part.end());
  const auto bytes = file.summary->last.value - file.summary->begin.value;
  const auto digest_of = [&](ByteView stored) {
    Sha256 digest;
    std::uint64_t seen = 0;
    decode_wal_object(archive.repository().codec(), stored, key, 1, archive.repository().buffers(),
                      [&](ByteView part) {
                        const auto left = bytes - std::min(seen, bytes);
                        digest.update(part.first(std::min<std::uint64_t>(left, part.size())));
                        seen += part.size();
                      });
    return digest.finish();
  };
  return digest_of(*object) == digest_of(own);
}

void store(const WalArchive& archive, const std::string& key, const CompressedFile& file,
           const Bytes& summary, PushResult& result) {
  const auto prefix = encode_wal_object_header(archive.repository().codec(), file.header, key);
  const auto trailer = encode_wal_object_trailer(file.header, prefix.size(), summary.size());
  std::vector<ByteView> parts{prefix};
  parts.insert(parts.end(), file.frames.begin(), file.frames.end());
  parts.emplace_back(summary);
  parts.emplace_back(trailer);
  const ObjectContent content(std::move(parts));
  result.stored_bytes = content.size();
  if (archive.repository().storage().put_if_absent(key, content)) return;

  // False promises that what is there is durable; that it is the same, its
  // header tells.
  const auto there = archive.find_header(key);
  if (!there) {
    throw Error(ErrorKind::unavailable, "the object " + key + " came and went while it was stored")
        .transient();
  }
  if (there->digest != file.header.digest && !is_same_up_to_a_switch(archive, key, content, file)) {
    throw Error(ErrorKind::conflict,
                "WAL file " + result.name + " is already archived with different content",
                "Archived sha256 " + there->digest.hex().substr(0, 16) + "... on " +
                    to_rfc3339(there->archived) + "; offered sha256 " +
                    file.header.digest.hex().substr(0, 16) + "....",
                "Two clusters may share this repository: check that each has its own --cluster "
                "name. Or two servers were promoted onto timeline " +
                    std::to_string(timeline_of(result.name).value) +
                    ": stop the archiving of the one that is not to go on. If this one is to: "
                    "walvault timeline set-aside " +
                    std::to_string(timeline_of(result.name).value) + " --yes");
  }
  result.already_there = true;
}

std::string key_in(const WalArchive& archive, const WalObjectHeader& header) {
  return header.kind == WalFileKind::partial ? archive.partial_key(header.name, header.digest)
                                             : archive.key_of(header.name);
}

std::optional<Digest> telling_digest(const CompressedFile& file) {
  const bool tells = !file.summary || file_digest_tells(*file.summary, file.header.content_bytes);
  return tells ? std::optional(file.header.digest) : std::nullopt;
}

// A standby has of the timeline that its primary left what it received before, and with
// archive_mode = always archives that under the name of a whole segment (walreceiver.c). The server
// that goes on with the timeline has more, and needs the name. On any other server a segment that
// is not full is damaged.
bool is_of_a_timeline_left(const OfferedFile& offered, WalGeometry geometry) {
  // By its path: pg_wal may be a link.
  const auto data = parent_directory(offered.directory);
  return find_status(data + "/standby.signal") || find_status(data + "/recovery.signal") ||
         is_left_within(offered.directory, *offered.segment(geometry), geometry);
}

// A file that is ready to be stored.
struct Prepared {
  CompressedFile file;
  PushResult result;
};

// A timeline that an operator abandoned, and from which nothing goes on, has given its number free:
// the history of another one of that number sets it aside. A standby that is not led to the
// abandoned one may choose it when it is promoted, and its archiving has to go on.
WalArchive branch_for(const WalArchive& archive, const WalObjectHeader& header) {
  if (header.kind != WalFileKind::timeline) return archive;
  const auto timeline = timeline_of(header.name);
  const auto there = archive.find_header(archive.key_of(header.name));
  if (!there || there->digest == header.digest) return archive;
  if (!LeftTimelines(archive).is_dead_end(timeline)) return archive;
  (void)archive.set_aside(timeline, header.archived);
  return {archive.repository(), archive.identity()};
}

// Of a place that was out of reach when a timeline was set aside: what belongs to the new branch
// must not lie in the old one there.
WalArchive level_with(const WalArchive& archive, const WalArchive& other, TimelineId timeline) {
  const bool is_same = archive.identity().number == other.identity().number;
  if (!is_same || other.branch_of(timeline) >= archive.branch_of(timeline)) return other;
  for (const auto& opening : list_branch_openings(archive.repository(), archive.identity())) {
    const bool lacks =
        opening.opened.timeline == timeline && opening.opened.branch > other.branch_of(timeline);
    if (lacks) (void)put_branch_opening(other.repository(), other.identity(), opening);
  }
  return {other.repository(), other.identity()};
}

PushResult store_everywhere(const WalArchive& offered_to, const CompressedFile& file,
                            PushResult result, const PushOptions& options) {
  const auto archive = branch_for(offered_to, file.header);
  const auto summary = file.summary ? encode_wal_summary({*file.summary, options.origin}) : Bytes{};
  result.digest = telling_digest(file);
  result.key = key_in(archive, file.header);
  store(archive, result.key, file, summary, result);
  if (options.elsewhere) {
    result.everywhere = options.elsewhere([&](const WalArchive& offered_there) {
      auto there = result;
      const auto other =
          branch_for(level_with(archive, offered_there, timeline_of(result.name)), file.header);
      store(other, key_in(other, file.header), file, summary, there);
    });
  }
  return result;
}

Prepared prepare_file(const WalArchive& archive, const OfferedFile& offered, Clock& clock,
                      const PushOptions& options) {
  const auto& identity = archive.identity();
  Prepared prepared;
  auto& result = prepared.result;
  const auto& path = offered.path;
  result.name = offered.name;
  const auto kind = offered.kind();
  if (!kind) {
    throw Error(ErrorKind::usage, "\"" + result.name + "\" is not the name of a WAL file",
                "Segments (24 hexadecimal digits) and .history, .backup and .partial files are "
                "archived.",
                "Use archive_command = 'walvault-archive --cluster " + identity.name + " %p'.");
  }
  const auto file = find_file(path, O_RDONLY);
  if (!file) {
    throw Error(ErrorKind::not_found, "there is no file \"" + path + "\"", {},
                "PostgreSQL passes the path as %p, relative to the data directory.");
  }
  result.file = attributes_of(*file, path);
  result.plain_bytes = result.file->size;

  auto& compressed = prepared.file;
  auto& header = compressed.header;
  header.kind = *kind;
  header.name = result.name;
  header.system_identifier = identity.system_identifier;
  header.plain_bytes = result.plain_bytes;
  header.modified = modified_time(*result.file);
  header.archived = clock.now();
  const auto read = [&](std::span<std::uint8_t> part, std::uint64_t offset) {
    if (read_at(*file, part, offset, path) != part.size()) {
      throw Error(ErrorKind::corrupt, "the file \"" + path + "\" shrinks while it is read");
    }
  };
  if (kind == WalFileKind::segment || kind == WalFileKind::partial) {
    if (result.plain_bytes != identity.geometry.segment_bytes) {
      throw Error(ErrorKind::corrupt, "WAL file " + result.name + " has the wrong size",
                  "It has " + std::to_string(result.plain_bytes) + " bytes, a segment of cluster " +
                      identity.name + " has " + std::to_string(identity.geometry.segment_bytes) +
                      ".",
                  "Check the file system of pg_wal.");
    }
    Bytes first(wal_segment_header_bytes);
    (void)read_at(*file, first, 0, path);
    const auto segment = compress_segment(archive, first, read, options, compressed, result);
    if (kind == WalFileKind::segment && is_unfilled(compressed, segment, read) &&
        is_of_a_timeline_left(offered, identity.geometry)) {
      header.kind = WalFileKind::partial;
      header.name += ".partial";
      result.name = header.name;
      result.damage.clear();
    }
  } else {
    if (result.plain_bytes > small_file_bytes_max) {
      throw Error(ErrorKind::corrupt, "WAL file " + result.name + " is too large",
                  "It has " + std::to_string(result.plain_bytes) + " bytes.");
    }
    if (kind == WalFileKind::timeline) {
      (void)TimelineHistory::parse(timeline_of(result.name), read_file(path, small_file_bytes_max));
    }
    compress_content(read, compress_options(options), archive.repository().buffers(), nullptr,
                     compressed);
  }
  return prepared;
}

}  // namespace

struct PreparedFile::Content {
  Prepared prepared;
  PushOptions options;
};

PreparedFile::PreparedFile(const WalArchive& archive, const OfferedFile& offered, Clock& clock,
                           const PushOptions& options)
    : content_(std::make_unique<Content>(
          Content{prepare_file(archive, offered, clock, options), options})) {}
PreparedFile::~PreparedFile() = default;
PreparedFile::PreparedFile(PreparedFile&&) noexcept = default;
PreparedFile& PreparedFile::operator=(PreparedFile&&) noexcept = default;

std::optional<Digest> PreparedFile::digest() const {
  return telling_digest(content_->prepared.file);
}

PushResult PreparedFile::store(const WalArchive& archive, const std::optional<Digest>& before) {
  auto& [prepared, options] = *content_;
  options.origin.before = before;
  return store_everywhere(archive, prepared.file, std::move(prepared.result), options);
}

PushResult push_timeline_history(const WalArchive& archive, TimelineId timeline, ByteView content,
                                 Clock& clock, const PushOptions& options) {
  (void)TimelineHistory::parse(timeline, content);
  PushResult result;
  result.name = history_file_name(timeline);
  result.plain_bytes = content.size();
  CompressedFile compressed;
  auto& header = compressed.header;
  header.kind = WalFileKind::timeline;
  header.name = result.name;
  header.system_identifier = archive.identity().system_identifier;
  header.plain_bytes = content.size();
  header.content_bytes = content.size();
  header.digest = sha256(content);
  header.modified = clock.now();
  header.archived = header.modified;
  if (!content.empty()) {
    Compressor compressor;
    Bytes stored;
    header.frames.push_back(encode_wal_frame(compressor, options.compression, content, stored));
    compressed.frames.push_back(std::move(stored));
  }
  return store_everywhere(archive, compressed, std::move(result), options);
}

namespace {

PushResult push_content(const WalArchive& archive, const SegmentName& segment, WalFileKind kind,
                        ByteView content, Clock& clock, const PushOptions& options) {
  const auto& identity = archive.identity();
  if (content.size() != identity.geometry.segment_bytes) {
    throw Error(ErrorKind::internal, "a part of a WAL segment is given as a whole one");
  }
  PushResult result;
  result.name = segment.text(identity.geometry);
  if (kind == WalFileKind::partial) result.name += ".partial";
  result.plain_bytes = content.size();
  CompressedFile compressed;
  auto& header = compressed.header;
  header.kind = kind;
  header.name = result.name;
  header.system_identifier = identity.system_identifier;
  header.plain_bytes = content.size();
  header.modified = clock.now();
  header.archived = header.modified;
  (void)compress_segment(
      archive, content.first(wal_segment_header_bytes),
      [&](std::span<std::uint8_t> part, std::uint64_t offset) {
        std::ranges::copy(content.subspan(offset, part.size()), part.begin());
      },
      options, compressed, result);
  return store_everywhere(archive, compressed, std::move(result), options);
}

}  // namespace

PushResult push_wal_segment(const WalArchive& archive, SegmentName segment, ByteView content,
                            Clock& clock, const PushOptions& options) {
  return push_content(archive, segment, WalFileKind::segment, content, clock, options);
}

PushResult push_unfinished_segment(const WalArchive& archive, SegmentName segment, ByteView content,
                                   Clock& clock, const PushOptions& options) {
  Bytes filled(content.begin(), content.end());
  filled.resize(archive.identity().geometry.segment_bytes);
  return push_content(archive, segment, WalFileKind::partial, filled, clock, options);
}

PushResult push_wal_file(const WalArchive& archive, const OfferedFile& offered, Clock& clock,
                         const PushOptions& options) {
  auto prepared = prepare_file(archive, offered, clock, options);
  return store_everywhere(archive, prepared.file, std::move(prepared.result), options);
}

PushResult push_partial_segment(const WalArchive& archive, const OfferedFile& offered, Clock& clock,
                                const PushOptions& options) {
  return push_wal_file(archive, offered.as_partial(), clock, options);
}

}  // namespace walvault
