#include "catalog/wal/wal_expiry.h"

#include <algorithm>

#include "base/error.h"
#include "repository/object_table.h"

namespace walvault {
namespace {

constexpr std::size_t ranges_max = 1'000'000;

bool is_whole_gone(const Repository& repository, const std::vector<ClusterIdentity>& identities,
                   const WalExpiry& expiry) {
  return std::ranges::all_of(expiry.ranges, [&](const WalRange& range) {
    const auto identity =
        std::ranges::find(identities, range.identity_number, &ClusterIdentity::number);
    if (identity == identities.end()) return true;
    const auto view = WalArchive(repository, *identity).with({range.timeline});
    const auto left = view.segments(range.timeline.timeline, range.first);
    return left.empty() || left.front().number >= range.behind;
  });
}

}  // namespace

Bytes encode_wal_expiry(const WalExpiry& expiry) {
  ByteWriter out;
  out.time(expiry.created);
  out.varint(expiry.ranges.size());
  for (const auto& range : expiry.ranges) {
    out.u32(range.identity_number);
    write_branch(out, range.timeline);
    out.u64(range.first);
    out.u64(range.behind);
  }
  return out.take();
}

WalExpiry decode_wal_expiry(ByteView payload) {
  ByteReader in(payload, "an announcement of expiry");
  WalExpiry expiry;
  expiry.created = in.time();
  const auto count = in.count(28);
  if (count > ranges_max) {
    throw Error(ErrorKind::corrupt, "an announcement of expiry is damaged",
                "It has " + std::to_string(count) + " ranges.");
  }
  expiry.ranges.resize(count);
  for (auto& range : expiry.ranges) {
    range.identity_number = in.u32();
    range.timeline = read_branch(in);
    range.first = in.u64();
    range.behind = in.u64();
  }
  in.expect_end();
  return expiry;
}

bool is_expiring(const WalArchive& archive, TimelineBranch timeline, Lsn start, Lsn stop) {
  const auto& repository = archive.repository();
  const auto geometry = archive.identity().geometry;
  const auto prefix = prefix_of(ObjectPlace::wal_expiry, archive.identity().name);
  for (const auto& name : repository.storage().list_names(prefix)) {
    const auto payload = repository.find_sealed(ObjectKind::wal_expiry, prefix + name);
    if (!payload) continue;  // it was carried out
    for (const auto& range : decode_wal_expiry(*payload).ranges) {
      if (range.identity_number == archive.identity().number && range.timeline == timeline &&
          geometry.start_of(range.first) < stop && geometry.start_of(range.behind) > start) {
        return true;
      }
    }
  }
  return false;
}

std::string announce_wal_expiry(const Repository& repository, const std::string& cluster,
                                const RandomId& run, const WalExpiry& expiry) {
  auto key = prefix_of(ObjectPlace::wal_expiry, cluster) + to_hex(run);
  (void)repository.put_sealed(ObjectKind::wal_expiry, key, encode_wal_expiry(expiry));
  return key;
}

void remove_finished_announcements(const Repository& repository, const std::string& cluster,
                                   const std::vector<ClusterIdentity>& identities) {
  const auto prefix = prefix_of(ObjectPlace::wal_expiry, cluster);
  for (const auto& name : repository.storage().list_names(prefix)) {
    const auto key = prefix + name;
    const auto payload = repository.find_sealed(ObjectKind::wal_expiry, key);
    if (payload && is_whole_gone(repository, identities, decode_wal_expiry(*payload))) {
      repository.storage().remove({key});
    }
  }
}

}  // namespace walvault
