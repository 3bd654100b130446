#include "catalog/records/timeline_branch.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"

namespace walvault {
namespace {

std::optional<std::uint32_t> parse_decimal(std::string_view text) {
  std::uint32_t number = 0;
  const auto* const end = text.data() + text.size();
  const auto [stop, failure] = std::from_chars(text.data(), end, number);
  if (failure != std::errc{} || stop != end) return std::nullopt;
  return number;
}

}  // namespace

std::string TimelineBranch::text() const {
  return std::to_string(timeline.value) + "-" + std::to_string(branch);
}

std::optional<TimelineBranch> TimelineBranch::parse(std::string_view text) {
  const auto dash = text.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const auto timeline = parse_decimal(text.substr(0, dash));
  const auto branch = parse_decimal(text.substr(dash + 1));
  if (!timeline || *timeline == 0 || !branch) return std::nullopt;
  return TimelineBranch{.timeline = {*timeline}, .branch = *branch};
}

void write_branch(ByteWriter& out, TimelineBranch branch) {
  out.u32(branch.timeline.value);
  out.u32(branch.branch);
}

TimelineBranch read_branch(ByteReader& in) {
  TimelineBranch branch;
  branch.timeline = {in.u32()};
  branch.branch = in.u32();
  return branch;
}

Bytes encode_branch_opening(const BranchOpening& opening) {
  ByteWriter out;
  out.time(opening.when);
  out.varint(opening.descendants.size());
  for (const auto& descendant : opening.descendants) write_branch(out, descendant);
  return out.take();
}

BranchOpening decode_branch_opening(TimelineBranch opened, ByteView payload) {
  ByteReader in(payload, "the opening of a timeline's branch");
  BranchOpening opening{.opened = opened, .when = {}, .descendants = {}};
  opening.when = in.time();
  const auto count = in.varint();
  for (std::uint64_t i = 0; i < count; ++i) opening.descendants.push_back(read_branch(in));
  in.expect_end();
  return opening;
}

std::vector<BranchOpening> list_branch_openings(const Repository& repository,
                                                const ClusterIdentity& identity) {
  std::vector<BranchOpening> openings;
  auto& storage = repository.storage();
  const auto prefix = prefix_of(ObjectPlace::branches, identity);
  for (const auto& timeline : storage.list_names(prefix)) {
    const auto id = parse_hex(timeline);
    if (!id) continue;
    std::vector<std::uint32_t> branches;
    for (const auto& name : storage.list_names(prefix + timeline + "/")) {
      if (const auto number = parse_decimal(name)) branches.push_back(*number);
    }
    std::ranges::sort(branches);
    for (const auto branch : branches) {
      const auto key = prefix + timeline + "/" + std::to_string(branch);
      const auto payload = repository.find_sealed(ObjectKind::branch, key);
      if (!payload) throw Error(ErrorKind::corrupt, "the object " + key + " is gone");
      openings.push_back(decode_branch_opening(
          {.timeline = {static_cast<std::uint32_t>(*id)}, .branch = branch}, *payload));
    }
  }
  return openings;
}

void copy_branch_openings(const Repository& from, const Repository& to,
                          const ClusterIdentity& identity, bool dry_run) {
  const auto here = list_branch_openings(from, identity);
  const auto there = list_branch_openings(to, identity);
  const auto conflict = [&](const BranchOpening& opening) {
    return Error(ErrorKind::conflict,
                 "timeline " + std::to_string(opening.opened.timeline.value) + " of cluster " +
                     identity.name + " was set aside in another way at " + to.storage().url(),
                 "That is about its branch " + opening.opened.text() +
                     ". Nothing of the cluster was "
                     "copied.",
                 "Copy to another place.");
  };
  for (const auto& opening : there) {
    if (std::ranges::find(here, opening.opened, &BranchOpening::opened) == here.end()) {
      throw conflict(opening);
    }
  }
  for (const auto& opening : here) {
    const auto same = std::ranges::find(there, opening.opened, &BranchOpening::opened);
    if (same != there.end() && same->descendants != opening.descendants) throw conflict(opening);
    if (same == there.end() && !dry_run) (void)put_branch_opening(to, identity, opening);
  }
}

bool put_branch_opening(const Repository& repository, const ClusterIdentity& identity,
                        const BranchOpening& opening) {
  return repository.put_sealed(ObjectKind::branch,
                               prefix_of(ObjectPlace::branches, identity) +
                                   to_upper_hex(opening.opened.timeline.value) + "/" +
                                   std::to_string(opening.opened.branch),
                               encode_branch_opening(opening));
}

}  // namespace walvault
