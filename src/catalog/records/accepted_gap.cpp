#include "catalog/records/accepted_gap.h"

#include <algorithm>

#include "base/error.h"

namespace walvault {

bool AcceptedGap::is_expired() const { return reason == expired_reason; }

bool covers(std::span<const AcceptedGap> gaps, TimelineBranch timeline, Lsn from, Lsn to) {
  std::vector<std::pair<Lsn, Lsn>> ranges;
  for (const auto& gap : gaps) {
    if (gap.timeline == timeline) ranges.emplace_back(gap.from, gap.to);
  }
  std::ranges::sort(ranges);
  for (const auto& [begins, ends] : ranges) {
    if (begins <= from) from = std::max(from, ends);
  }
  return from >= to;
}

Bytes encode_accepted_gap(const AcceptedGap& gap) {
  ByteWriter out;
  write_branch(out, gap.timeline);
  out.u64(gap.from.value);
  out.u64(gap.to.value);
  out.time(gap.when);
  out.string(gap.reason);
  return out.take();
}

AcceptedGap decode_accepted_gap(ByteView payload) {
  ByteReader in(payload, "an accepted gap");
  AcceptedGap gap;
  gap.timeline = read_branch(in);
  gap.from = {in.u64()};
  gap.to = {in.u64()};
  gap.when = in.time();
  gap.reason = in.string(gap_reason_bytes_max);
  in.expect_end();
  return gap;
}

std::vector<AcceptedGap> list_accepted_gaps(const Repository& repository,
                                            const ClusterIdentity& identity) {
  std::vector<AcceptedGap> gaps;
  for (const auto& payload : repository.all_in_series(
           ObjectKind::accepted_gap, prefix_of(ObjectPlace::accepted_gaps, identity))) {
    gaps.push_back(decode_accepted_gap(payload));
  }
  return gaps;
}

void put_accepted_gap(const Repository& repository, const ClusterIdentity& identity,
                      const AcceptedGap& gap) {
  repository.append_to_series(ObjectKind::accepted_gap,
                              prefix_of(ObjectPlace::accepted_gaps, identity),
                              encode_accepted_gap(gap));
}

}  // namespace walvault
