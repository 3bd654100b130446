#include "catalog/cluster.h"

#include <algorithm>

#include "base/error.h"
#include "postgres/segment_name.h"

namespace walvault {
namespace {

enum class State : std::uint8_t { active = 1, removed = 2 };

std::string prefix_of(const std::string& name) { return "clusters/" + name + "/"; }

Bytes encode(const ClusterIdentity& identity) {
  ByteWriter out;
  out.u8(static_cast<std::uint8_t>(State::active));
  out.string(identity.name);
  out.u64(identity.system_identifier);
  out.u32(static_cast<std::uint32_t>(identity.postgres_major));
  out.u32(identity.segment_bytes);
  out.i64(identity.registered.time_since_epoch().count());
  return out.take();
}

std::optional<ClusterIdentity> decode(std::uint32_t number, ByteView payload) {
  ByteReader in(payload, "a cluster's identity");
  const auto state = in.u8();
  ClusterIdentity identity;
  identity.number = number;
  identity.name = in.string();
  identity.system_identifier = in.u64();
  identity.postgres_major = static_cast<int>(in.u32());
  identity.segment_bytes = in.u32();
  identity.registered = Timestamp(std::chrono::microseconds(in.i64()));
  in.expect_end();
  if (state == static_cast<std::uint8_t>(State::removed)) return std::nullopt;
  if (state != static_cast<std::uint8_t>(State::active) ||
      !is_segment_size(identity.segment_bytes)) {
    throw Error(ErrorKind::corrupt, "the identity of cluster " + identity.name + " is damaged");
  }
  return identity;
}

}  // namespace

void check_cluster_name(const std::string& name) {
  const auto is_first = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  const auto is_later = [&](char c) { return is_first(c) || c == '_' || c == '-'; };
  if (!name.empty() && name.size() <= 63 && is_first(name.front()) &&
      std::ranges::all_of(name, is_later)) {
    return;
  }
  throw Error(ErrorKind::usage, "\"" + name + "\" cannot name a cluster",
              "A name has 1 to 63 characters: lower-case letters, digits, '-' and '_', and starts "
              "with a letter or digit.",
              "Choose a name such as main or billing-2.");
}

std::optional<ClusterIdentity> find_cluster(const Repository& repository, const std::string& name) {
  check_cluster_name(name);
  const auto latest = repository.latest_in_series(ObjectKind::cluster, prefix_of(name));
  if (!latest) return std::nullopt;
  return decode(latest->first, latest->second);
}

ClusterIdentity get_cluster(const Repository& repository, const std::string& name,
                            ErrorKind when_unknown) {
  if (auto identity = find_cluster(repository, name)) return *identity;
  std::string known;
  for (const auto& other : list_clusters(repository)) {
    known += (known.empty() ? "" : ", ") + other.name;
  }
  throw Error(when_unknown, "the cluster " + name + " is not registered",
              known.empty() ? "The repository knows no cluster yet."
                            : "The repository knows: " + known + ".",
              "Register it with: walvault cluster add " + name + " --pg CONNINFO");
}

std::vector<ClusterIdentity> list_clusters(const Repository& repository) {
  std::vector<ClusterIdentity> clusters;
  for (const auto& name : repository.storage().list_names("clusters/")) {
    if (auto identity = find_cluster(repository, name)) clusters.push_back(std::move(*identity));
  }
  return clusters;
}

bool add_cluster(const Repository& repository, const ClusterIdentity& identity) {
  check_cluster_name(identity.name);
  if (!find_cluster(repository, identity.name) &&
      repository.put_sealed(ObjectKind::cluster,
                            prefix_of(identity.name) + std::to_string(identity.number),
                            encode(identity))) {
    return true;
  }
  const auto there = find_cluster(repository, identity.name);
  if (there && there->system_identifier == identity.system_identifier &&
      there->postgres_major == identity.postgres_major &&
      there->segment_bytes == identity.segment_bytes) {
    return false;
  }
  throw Error(ErrorKind::conflict,
              "the name " + identity.name + " belongs to another cluster already",
              there ? "Registered: system identifier " + std::to_string(there->system_identifier) +
                          ", PostgreSQL " + std::to_string(there->postgres_major) +
                          "; offered: " + std::to_string(identity.system_identifier) +
                          ", PostgreSQL " + std::to_string(identity.postgres_major) + "."
                    : "It was removed.",
              "Register this server under another name.");
}

}  // namespace walvault
