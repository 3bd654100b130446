#include "catalog/recovery/own_checkpoint.h"

#include <algorithm>

#include "postgres/checkpoint_record.h"

namespace walvault {
namespace {

// A record may cross into the next segment, which is there if this one does.
constexpr std::uint64_t record_bytes_max = 4096;

}  // namespace

OwnCheckpoint look_for_own_checkpoint(const WalArchive& archive, const BackupInfo& info) {
  const auto& control = info.control;
  if (control.checkpoint < info.start || control.checkpoint >= info.stop) {
    return OwnCheckpoint::unknown;
  }
  const auto geometry = archive.identity().geometry;
  auto segment = SegmentName::containing(info.timeline, control.checkpoint, geometry);
  const auto name = segment.text(geometry);
  const auto judge = [](bool held) { return held ? OwnCheckpoint::held : OwnCheckpoint::not_held; };
  if (auto wal = archive.find_file(name)) {
    if (segment.end(geometry).value - control.checkpoint.value < record_bytes_max) {
      ++segment.number;
      const auto next = archive.find_file(segment.text(geometry));
      if (next) wal->insert(wal->end(), next->begin(), next->end());
    }
    return judge(holds_checkpoint(*wal, control));
  }
  // Of several parts one is the server's own.
  const auto parts = archive.partial_keys(name + ".partial");
  if (parts.empty()) return OwnCheckpoint::unknown;
  return judge(std::ranges::any_of(parts, [&](const std::string& key) {
    const auto part = archive.find_stored_file(key);
    return part && holds_checkpoint(*part, control);
  }));
}

}  // namespace walvault
