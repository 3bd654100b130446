#include "catalog/records/left_timeline.h"

#include <algorithm>

#include "base/error.h"

namespace walvault {
namespace {

// Of the byte that says which of the record's facts hold.
constexpr std::uint8_t has_archiver = 1;
constexpr std::uint8_t taken_back = 2;
constexpr std::uint8_t has_backup = 4;
constexpr std::size_t backup_id_bytes_max = 255;

}  // namespace

Bytes encode_left_timeline(const LeftTimeline& left) {
  ByteWriter out;
  write_branch(out, left.timeline);
  out.u64(left.at.value);
  out.u32(left.for_timeline.value);
  out.u8(static_cast<std::uint8_t>((left.archiver ? has_archiver : 0) |
                                   (left.is_taken_back ? taken_back : 0) |
                                   (left.backup.empty() ? 0 : has_backup)));
  if (left.archiver) out.raw(*left.archiver);
  if (!left.backup.empty()) out.string(left.backup);
  out.time(left.when);
  out.string(left.reason);
  return out.take();
}

LeftTimeline decode_left_timeline(ByteView payload) {
  ByteReader in(payload, "the record of a timeline that was left");
  LeftTimeline left;
  left.timeline = read_branch(in);
  left.at = {in.u64()};
  left.for_timeline = {in.u32()};
  const auto facts = in.u8();
  if ((facts & ~(has_archiver | taken_back | has_backup)) != 0) {
    throw Error(ErrorKind::corrupt, "the record of a timeline that was left has unknown facts");
  }
  left.is_taken_back = (facts & taken_back) != 0;
  if ((facts & has_archiver) != 0) {
    RandomId id{};
    std::ranges::copy(in.raw(id.size()), id.begin());
    left.archiver = id;
  }
  if ((facts & has_backup) != 0) left.backup = in.string(backup_id_bytes_max);
  left.when = in.time();
  left.reason = in.string(left_reason_bytes_max);
  in.expect_end();
  return left;
}

std::vector<LeftTimeline> list_left_timelines(const Repository& repository,
                                              const ClusterIdentity& identity) {
  std::vector<LeftTimeline> records;
  for (const auto& payload : repository.all_in_series(ObjectKind::left_timeline,
                                                      prefix_of(ObjectPlace::left, identity))) {
    records.push_back(decode_left_timeline(payload));
  }
  return records;
}

std::set<TimelineBranch> abandoned_branches(const std::vector<LeftTimeline>& records) {
  std::set<TimelineBranch> abandoned;
  for (const auto& left : records) {
    if (left.is_taken_back) {
      abandoned.erase(left.timeline);
    } else if (left.for_timeline == TimelineId{}) {
      abandoned.insert(left.timeline);
    }
  }
  return abandoned;
}

void put_left_timeline(const Repository& repository, const ClusterIdentity& identity,
                       const LeftTimeline& left) {
  repository.append_to_series(ObjectKind::left_timeline, prefix_of(ObjectPlace::left, identity),
                              encode_left_timeline(left));
}

void copy_left_timelines(const Repository& from, const Repository& to,
                         const ClusterIdentity& identity) {
  const auto there = list_left_timelines(to, identity);
  for (const auto& left : list_left_timelines(from, identity)) {
    if (std::ranges::find(there, left) == there.end()) put_left_timeline(to, identity, left);
  }
}

}  // namespace walvault
