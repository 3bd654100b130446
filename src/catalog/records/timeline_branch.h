// A timeline id that two promotions used: what was archived under it first is
// set aside as a branch of its own, and the id goes on with the next branch.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "catalog/records/cluster.h"
#include "postgres/lsn.h"
#include "repository/repository.h"

namespace walvault {

struct TimelineBranch {
  TimelineId timeline;
  std::uint32_t branch = 0;

  auto operator<=>(const TimelineBranch&) const = default;

  // 2-1
  [[nodiscard]] std::string text() const;
  // nullopt for any other form.
  [[nodiscard]] static std::optional<TimelineBranch> parse(std::string_view text);
};

// Its eight bytes in records.
void write_branch(ByteWriter& out, TimelineBranch branch);
[[nodiscard]] TimelineBranch read_branch(ByteReader& in);

// The opening of a branch: `opened` took the place of the branch before it,
// which is part of the histories of `descendants` for ever.
struct BranchOpening {
  TimelineBranch opened;
  Timestamp when;
  std::vector<TimelineBranch> descendants;
};

[[nodiscard]] Bytes encode_branch_opening(const BranchOpening& opening);
[[nodiscard]] BranchOpening decode_branch_opening(TimelineBranch opened, ByteView payload);

// All openings of an identity, ascending.
[[nodiscard]] std::vector<BranchOpening> list_branch_openings(const Repository& repository,
                                                              const ClusterIdentity& identity);

// False: another one opened it at the same time.
[[nodiscard]] bool put_branch_opening(const Repository& repository, const ClusterIdentity& identity,
                                      const BranchOpening& opening);

// Sees to it that another repository has the same branches. Error{conflict} where one was
// set aside there, or in another way. `dry_run`: only that.
void copy_branch_openings(const Repository& from, const Repository& to,
                          const ClusterIdentity& identity, bool dry_run);

}  // namespace walvault
