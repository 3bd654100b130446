#include "catalog/repair/lost_objects.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "catalog/copy/wal_border.h"
#include "catalog/records/backup_info.h"
#include "catalog/wal/wal_check.h"
#include "catalog/wal/wal_object.h"
#include "repository/damage.h"
#include "repository/object_table.h"
#include "repository/pin.h"
#include "repository/tree.h"

namespace walvault {
namespace {

// A tombstone is smaller than any root.
constexpr std::uint64_t tombstone_bytes_max = 256;

constexpr std::string_view lacks_it = "The other repository lacks it, too.";

std::optional<std::uint32_t> parse_number_of(std::string_view text, int base = 10) {
  std::uint32_t number = 0;
  const auto* const end = text.data() + text.size();
  const auto [stop, failure] = std::from_chars(text.data(), end, number, base);
  return failure == std::errc{} && stop == end ? std::optional(number) : std::nullopt;
}

// wal/CLUSTER/NUMBER/TIMELINE-BRANCH/...
struct WalKey {
  std::string cluster;
  std::uint32_t number = 0;
  TimelineBranch branch;
  std::string rest;  // behind the branch
  [[nodiscard]] std::string file() const { return rest.substr(rest.rfind('/') + 1); }
};

std::optional<WalKey> parse_wal_key(std::string_view key) {
  const auto next = [&] {
    const auto slash = std::min(key.find('/'), key.size());
    const auto part = key.substr(0, slash);
    key.remove_prefix(std::min(slash + 1, key.size()));
    return std::string(part);
  };
  (void)next();
  WalKey parsed;
  parsed.cluster = next();
  const auto number = parse_number_of(next());
  const auto branch_text = next();
  const auto dash = branch_text.find('-');
  if (dash == std::string::npos || key.empty()) return std::nullopt;
  const auto timeline = parse_number_of(std::string_view(branch_text).substr(0, dash), 16);
  const auto branch = parse_number_of(std::string_view(branch_text).substr(dash + 1));
  if (!number || !timeline || !branch) return std::nullopt;
  parsed.number = *number;
  parsed.branch = {.timeline = {*timeline}, .branch = *branch};
  parsed.rest = std::string(key);
  return parsed;
}

// The same object under another key: its header says where it lies.
Bytes moved_to(const ObjectCodec& codec, ByteView object, std::string_view from,
               std::string_view to) {
  const auto parsed = parse_wal_object_header(codec, object, from);
  auto moved = encode_wal_object_header(codec, parsed.header, to);
  const auto rest = object.subspan(parsed.frames_offset);
  moved.insert(moved.end(), rest.begin(), rest.end());
  return moved;
}

// Of files that are no segments, those beside them tell whose they are.
std::optional<std::string> find_contradiction(const WalArchive& from, const WalArchive& to,
                                              TimelineId timeline) {
  constexpr std::size_t looks_max = 3;
  std::size_t looks = 0;
  for (const auto& each : to.segments(timeline)) {
    const SegmentName segment{.timeline = timeline, .number = each.number};
    if (!from.has_segment(segment)) continue;
    if (contradict(from, to, segment)) {
      return "The other repository has other WAL of this timeline.";
    }
    if (++looks == looks_max) break;
  }
  return std::nullopt;
}

}  // namespace

std::optional<Bytes> LostObjects::find(const std::string& key, std::string& why) {
  const auto place = place_of(key);
  if (!place) {
    why = "It is of no kind that this version knows.";
    return std::nullopt;
  }
  switch (*place) {
    case ObjectPlace::packs: return find_pack(key, why);
    case ObjectPlace::backups: return find_root(key, why);
    case ObjectPlace::wal: return find_wal(key, why);
    default: return find_sealed(key, why);
  }
}

std::optional<Bytes> LostObjects::find_pack(const std::string& key, std::string& why) const {
  auto object = theirs_.storage().find(key);
  if (!object) {
    why = lacks_it;
    return std::nullopt;
  }
  if (sha256(*object) != PackName::parse(key).value().digest) {
    why = "It is damaged in the other repository, too.";
    return std::nullopt;
  }
  return object;
}

std::optional<Bytes> LostObjects::find_root(const std::string& key, std::string& why) const {
  if (ours_.storage().find_size(deletion_key(key))) {
    why = "It was deleted on purpose.";
    return std::nullopt;
  }
  auto object = theirs_.storage().find(key);
  if (!object || is_of_kind(*object, ObjectKind::tombstone)) {
    why = lacks_it;
    return std::nullopt;
  }
  // What is too small for a root closed this place to one.
  const auto there = ours_.storage().find_size(key);
  if (there && *there <= tombstone_bytes_max && *there != object->size()) {
    why = "What lies here was no backup but what closes its place.";
    return std::nullopt;
  }
  if (!unless_damaged([&] { return std::optional(decode_root(theirs_.codec(), *object, key)); })) {
    why = "It is damaged in the other repository, too.";
    return std::nullopt;
  }
  return object;
}

const LostObjects::Archives* LostObjects::archives_of(const std::string& cluster,
                                                      std::uint32_t number, std::string& why) {
  const auto known = archives_.find({cluster, number});
  if (known == archives_.end()) {
    auto& made = archives_[{cluster, number}];
    const auto identity_in = [&](const Repository& repository, const auto& is_wanted) {
      return unless_damaged([&]() -> std::optional<ClusterIdentity> {
        if (!find_cluster(repository, cluster)) return std::nullopt;
        const auto identities = cluster_identities(repository, cluster);
        const auto it = std::ranges::find_if(identities, is_wanted);
        return it == identities.end() ? std::nullopt : std::optional(*it);
      });
    };
    const auto here =
        identity_in(ours_, [&](const ClusterIdentity& each) { return each.number == number; });
    const auto there =
        here
            ? identity_in(theirs_,
                          [&](const ClusterIdentity& each) { return is_same_cluster(each, *here); })
            : std::nullopt;
    if (here && there) {
      made.emplace(
          Archives{.ours = WalArchive(ours_, *here), .theirs = WalArchive(theirs_, *there)});
    }
  }
  const auto& found = archives_.at({cluster, number});
  if (!found) why = "The other repository has no WAL of this server.";
  return found ? &*found : nullptr;
}

std::optional<Bytes> LostObjects::find_wal(const std::string& key, std::string& why) {
  const auto parsed = parse_wal_key(key);
  if (!parsed) {
    why = "Its name is none that walvault gives.";
    return std::nullopt;
  }
  const auto* const archives = archives_of(parsed->cluster, parsed->number, why);
  if (archives == nullptr) return std::nullopt;
  const auto prefix = prefix_of(ObjectPlace::wal, archives->ours.identity());
  const auto their_key =
      prefix_of(ObjectPlace::wal, archives->theirs.identity()) + key.substr(prefix.size());
  const auto object = theirs_.storage().find(their_key);
  if (!object) {
    why = lacks_it;
    return std::nullopt;
  }
  if (const auto fault = find_wal_fault(theirs_.codec(), *object, their_key); !fault.empty()) {
    why = "It is damaged in the other repository, too: " + fault;
    return std::nullopt;
  }
  const auto conflict = unless_damaged([&]() -> std::optional<std::string> {
    const auto here = unless_damaged([&] { return archives->ours.find_header(key); });
    const auto there = archives->theirs.find_header(their_key);
    const auto segment = SegmentName::parse(parsed->file(), archives->ours.identity().geometry);
    const auto from = archives->theirs.view_of(parsed->branch);
    const auto to = archives->ours.view_of(parsed->branch);
    if (here && there && here->digest != there->digest &&
        !(segment && !contradict(from, to, *segment))) {
      return "The other repository has other content under this name.";
    }
    if (here) return std::nullopt;
    if (!segment) return find_contradiction(from, to, parsed->branch.timeline);
    const auto border = find_border_conflict(from, to, std::span(&*segment, 1));
    return border ? std::optional(border->why) : std::nullopt;
  });
  if (conflict) {
    why = *conflict;
    return std::nullopt;
  }
  return their_key == key ? *object : moved_to(ours_.codec(), *object, their_key, key);
}

std::vector<std::uint64_t> LostObjects::numbers_of(const WalArchive& here, TimelineBranch branch,
                                                   std::uint64_t first, std::uint64_t behind) {
  std::string why;
  const auto& identity = here.identity();
  const auto* const archives = archives_of(identity.name, identity.number, why);
  if (archives == nullptr) return {};
  std::vector<std::uint64_t> numbers;
  for (const auto& each : archives->theirs.with({branch}).segments(branch.timeline, first)) {
    if (each.number >= first && each.number < behind) numbers.push_back(each.number);
  }
  return numbers;
}

std::vector<std::string> LostObjects::keys_of_parts(const WalArchive& here,
                                                    const SegmentName& segment) {
  std::string why;
  const auto& identity = here.identity();
  const auto* const archives = archives_of(identity.name, identity.number, why);
  if (archives == nullptr) return {};
  const TimelineBranch branch{.timeline = segment.timeline,
                              .branch = here.branch_of(segment.timeline)};
  auto keys =
      archives->theirs.with({branch}).partial_keys(segment.text(identity.geometry) + ".partial");
  const auto theirs = prefix_of(ObjectPlace::wal, archives->theirs.identity());
  for (auto& key : keys) {
    key = prefix_of(ObjectPlace::wal, identity) + key.substr(theirs.size());
  }
  return keys;
}

std::optional<Bytes> LostObjects::find_sealed(const std::string& key, std::string& why) {
  const auto& info = info_of(*place_of(key));
  if (info.copied == Copied::anew && !is_of_one_cluster(key)) {
    why = "The other repository has no such cluster, or another one under this name.";
    return std::nullopt;
  }
  if (info.copied != Copied::anew) {
    why = "Each repository has its own.";
    return std::nullopt;
  }
  const auto same = unless_damaged([&] { return theirs_.find_sealed(info.kind, key); });
  const bool is_named_by_content = info.place == ObjectPlace::catalogues;
  const auto payload = is_named_by_content ? same : find_of_series(info.kind, key);
  if (!payload) {
    why = "The other repository does not tell what it said.";
    return std::nullopt;
  }
  return ours_.codec().seal(info.kind, key, *payload);
}

// Whose decision it is: of an identity, whose number has to mean the same there, or of a backup.
bool LostObjects::is_of_one_cluster(const std::string& key) {
  // PLACE/CLUSTER/NUMBER/... or keeps/CLUSTER/ID/...
  const auto first = key.find('/') + 1;
  const auto second = key.find('/', first) + 1;
  const auto cluster = key.substr(first, second - first - 1);
  const auto part = key.substr(second, key.find('/', second) - second);
  std::string why;
  if (place_of(key) == ObjectPlace::keeps) {
    const auto root_key = backup_root_key(cluster, part);
    return theirs_.storage().find_size(root_key) && ours_.storage().find_size(root_key);
  }
  const auto number = parse_number_of(part);
  const auto* const archives = number ? archives_of(cluster, *number, why) : nullptr;
  return archives != nullptr && archives->theirs.identity().number == *number;
}

// Numbers need not be the same there: what is looked for is the one that this repository has under
// none of its numbers. nullopt: there is none, or several could be meant.
std::optional<Bytes> LostObjects::find_of_series(ObjectKind kind, const std::string& key) const {
  const auto prefix = key.substr(0, key.rfind('/') + 1);
  const auto payloads_in = [&](const Repository& repository) {
    std::map<std::string, Bytes> payloads;
    for (const auto& name : repository.storage().list_names(prefix)) {
      auto payload = unless_damaged([&] { return repository.find_sealed(kind, prefix + name); });
      if (payload) payloads.emplace(name, std::move(*payload));
    }
    return payloads;
  };
  const auto here = payloads_in(ours_);
  const auto there = payloads_in(theirs_);
  const auto is_here = [&](const Bytes& payload) {
    return std::ranges::any_of(here, [&](const auto& each) { return each.second == payload; });
  };
  std::vector<const Bytes*> candidates;
  for (const auto& [name, payload] : there) {
    if (is_here(payload)) continue;
    if (prefix + name == key) return payload;
    candidates.push_back(&payload);
  }
  return candidates.size() == 1 ? std::optional(*candidates.front()) : std::nullopt;
}

}  // namespace walvault
