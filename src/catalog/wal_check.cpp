#include "catalog/wal_check.h"

#include "base/error.h"
#include "base/ordered_workers.h"
#include "codec/crc32c.h"

namespace walvault {
namespace {

Error damaged(const std::string& key, std::string detail) {
  return {ErrorKind::corrupt, "the archived file " + key + " is damaged", std::move(detail),
          "Restore it from a copy of the repository."};
}

}  // namespace

bool check_stored_wal(const WalArchive& archive, const std::string& key) {
  auto& storage = archive.repository().storage();
  const auto prefix = storage.find(key, {.length = wal_object_prefix_bytes});
  if (!prefix) return false;
  const auto parsed = parse_wal_object_header(*prefix, key);
  // Its name says where its WAL belongs.
  const auto name = key.substr(key.rfind('/') + 1);
  if (!name.starts_with(parsed.header.name)) {
    throw damaged(key, "It holds " + parsed.header.name + ".");
  }
  std::uint64_t offset = parsed.frames_offset;
  // Frame by frame: a segment of 1 GiB is not held in memory.
  for (const auto& frame : parsed.header.frames) {
    const auto stored = storage.find(key, {.offset = offset, .length = frame.length});
    if (!stored) return false;
    if (stored->size() != frame.length || crc32c(*stored) != frame.crc) {
      throw damaged(
          key, "The checksum of its content at byte " + std::to_string(offset) + " does not fit.");
    }
    offset += frame.length;
  }
  const auto rest = storage.find(key, {.offset = offset});
  if (!rest) return false;
  if (rest->size() < wal_object_trailer_bytes) throw damaged(key, "It is cut short.");
  (void)parse_wal_object_trailer(ByteView(*rest).last(wal_object_trailer_bytes), key);
  return true;
}

std::optional<UnreadableSegment> find_unreadable(const WalArchive& archive,
                                                 const WalStretch& stretch, std::uint64_t first,
                                                 std::uint64_t last, unsigned threads,
                                                 const std::function<void()>& check_cancelled) {
  struct Item {
    SegmentName name;
    std::string key;
    std::string why;
  };
  std::optional<UnreadableSegment> found;
  OrderedWorkers<Item> workers(
      {.threads = threads, .in_flight_max = std::size_t{threads} * 2},
      [&](Item& item, unsigned) {
        check_cancelled();
        try {
          if (!check_stored_wal(archive, item.key)) item.why = "it is not there any more";
        } catch (const Error& error) {
          if (error.kind() != ErrorKind::corrupt) throw;
          item.why = error.message() + ": " + error.detail();
        }
      },
      [&](Item& item) {
        if (!found && !item.why.empty()) {
          found = UnreadableSegment{.name = item.name, .why = std::move(item.why)};
        }
      });
  const auto submit = [&](const SegmentName& name) {
    if (name.number < first) return true;
    if (name.number > last) return false;
    workers.submit(
        {.name = name, .key = key_in_stretch(archive, stretch, name.number).value(), .why = {}});
    return true;
  };
  bool more = true;
  for (const auto& run : stretch.runs) {
    for (std::uint64_t i = 0; more && i < run.segments; ++i) {
      more = submit({.timeline = run.timeline, .number = run.first + i});
    }
  }
  if (more && stretch.partial) (void)submit(*stretch.partial);
  workers.finish();
  return found;
}

}  // namespace walvault
