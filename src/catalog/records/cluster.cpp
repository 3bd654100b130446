#include "catalog/records/cluster.h"

#include <algorithm>

#include "base/error.h"
#include "base/format.h"
#include "postgres/segment_name.h"
#include "repository/object_table.h"

namespace walvault {
namespace {

enum class State : std::uint8_t { active = 1, removed = 2 };

// One entry of a name's series.
struct Entry {
  State state = State::active;
  ClusterIdentity identity;
};

Bytes encode(const Entry& entry) {
  ByteWriter out;
  out.u8(static_cast<std::uint8_t>(entry.state));
  out.string(entry.identity.name);
  out.u64(entry.identity.system_identifier);
  out.u32(static_cast<std::uint32_t>(entry.identity.postgres_major));
  out.u32(static_cast<std::uint32_t>(entry.identity.geometry.segment_bytes));
  out.time(entry.identity.registered);
  return out.take();
}

Entry decode(std::uint32_t number, ByteView payload) {
  ByteReader in(payload, "a cluster's identity");
  const auto state = in.u8();
  ClusterIdentity identity;
  identity.number = number;
  identity.name = in.string();
  identity.system_identifier = in.u64();
  identity.postgres_major = static_cast<int>(in.u32());
  identity.geometry.segment_bytes = in.u32();
  identity.registered = in.time();
  in.expect_end();
  const bool is_known = state == static_cast<std::uint8_t>(State::active) ||
                        state == static_cast<std::uint8_t>(State::removed);
  if (!is_known || !is_segment_size(identity.geometry.segment_bytes)) {
    throw Error(ErrorKind::corrupt, "the identity of cluster " + identity.name + " is damaged");
  }
  return {.state = static_cast<State>(state), .identity = std::move(identity)};
}

std::optional<Entry> latest_entry(const Repository& repository, const std::string& name) {
  check_cluster_name(name);
  const auto latest =
      repository.latest_in_series(ObjectKind::cluster, prefix_of(ObjectPlace::clusters, name));
  if (!latest) return std::nullopt;
  return decode(latest->first, latest->second);
}

// nullopt: it is lost or damaged. It costs the identities up to its own, whose backups and WAL stay
// as they are until it is back; verify says so, and no other is stopped.
std::optional<Entry> find_readable_entry(const Repository& repository, const std::string& name,
                                         std::uint32_t number) {
  try {
    const auto payload = repository.find_sealed(
        ObjectKind::cluster, prefix_of(ObjectPlace::clusters, name) + std::to_string(number));
    return payload ? std::optional(decode(number, *payload)) : std::nullopt;
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::corrupt && error.kind() != ErrorKind::conflict) throw;
    return std::nullopt;
  }
}

// False: another writer took the number.
bool put_entry(const Repository& repository, const Entry& entry) {
  return repository.put_sealed(
      ObjectKind::cluster,
      prefix_of(ObjectPlace::clusters, entry.identity.name) + std::to_string(entry.identity.number),
      encode(entry));
}

std::string described(const ClusterIdentity& identity) {
  return "system identifier " + std::to_string(identity.system_identifier) + ", PostgreSQL " +
         std::to_string(identity.postgres_major);
}

Error lost_race(const std::string& name) {
  return Error(ErrorKind::unavailable, "the registration of cluster " + name + " is being changed",
               "Another command changed it at the same time.",
               "Look at it with walvault cluster "
               "list, then try again.")
      .transient();
}

}  // namespace

Bytes encode_registration(const Registration& registration) {
  return encode({.state = registration.is_removed ? State::removed : State::active,
                 .identity = registration.identity});
}

Registration decode_registration(std::uint32_t number, ByteView payload) {
  auto entry = decode(number, payload);
  return {.is_removed = entry.state == State::removed, .identity = std::move(entry.identity)};
}

bool is_same_cluster(const ClusterIdentity& a, const ClusterIdentity& b) {
  return a.system_identifier == b.system_identifier && a.postgres_major == b.postgres_major &&
         a.geometry == b.geometry;
}

std::string prefix_of(ObjectPlace place, const ClusterIdentity& identity) {
  return prefix_of(place, identity.name) + std::to_string(identity.number) + "/";
}

bool is_cluster_name(std::string_view name) {
  const auto is_first = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  const auto is_later = [&](char c) { return is_first(c) || c == '_' || c == '-'; };
  return !name.empty() && name.size() <= 63 && is_first(name.front()) &&
         std::ranges::all_of(name, is_later);
}

void check_cluster_name(const std::string& name) {
  if (is_cluster_name(name)) return;
  throw Error(ErrorKind::usage, "\"" + name + "\" cannot name a cluster",
              "A name has 1 to 63 characters: lower-case letters, digits, '-' and '_', and starts "
              "with a letter or digit.",
              "Choose a name such as main or billing-2.");
}

std::optional<ClusterIdentity> find_cluster(const Repository& repository, const std::string& name) {
  auto entry = latest_entry(repository, name);
  if (!entry || entry->state == State::removed) return std::nullopt;
  return std::move(entry->identity);
}

ClusterIdentity get_cluster(const Repository& repository, const std::string& name,
                            ErrorKind when_unknown) {
  if (auto identity = find_cluster(repository, name)) return *identity;
  auto& storage = repository.storage();
  for (const auto place : {ObjectPlace::backups, ObjectPlace::wal}) {
    // One that was removed on purpose has its series.
    if (!storage.list_names(prefix_of(ObjectPlace::clusters, name)).empty() ||
        storage.list_names(prefix_of(place, name)).empty()) {
      continue;
    }
    throw Error(ErrorKind::corrupt, "the registration of cluster " + name + " is lost",
                "Backups or WAL of it are here, and no object below " +
                    prefix_of(ObjectPlace::clusters, name) + ".",
                "walvault repair makes it again.");
  }
  const auto known = list_of(list_clusters(repository), &ClusterIdentity::name);
  throw Error(when_unknown, "the cluster " + name + " is not registered",
              known.empty() ? "The repository knows no cluster yet."
                            : "The repository knows: " + known + ".",
              "Register it with: walvault cluster add " + name + " --pg CONNINFO");
}

std::vector<ClusterIdentity> list_clusters(const Repository& repository) {
  std::vector<ClusterIdentity> clusters;
  for (const auto& name : repository.storage().list_names(prefix_of(ObjectPlace::clusters))) {
    if (auto identity = find_cluster(repository, name)) clusters.push_back(std::move(*identity));
  }
  return clusters;
}

std::vector<ClusterIdentity> cluster_identities(const Repository& repository,
                                                const std::string& name) {
  auto identity = get_cluster(repository, name);
  std::vector<ClusterIdentity> identities;
  for (auto number = identity.number - 1; number > 0; --number) {
    auto entry = find_readable_entry(repository, name, number);
    if (!entry || entry->state == State::removed) break;
    identities.push_back(std::move(entry->identity));
  }
  std::ranges::reverse(identities);
  identities.push_back(std::move(identity));
  return identities;
}

ClusterIdentity get_cluster_identity(const Repository& repository, const std::string& name,
                                     std::uint32_t number) {
  auto identities = cluster_identities(repository, name);
  const auto it = std::ranges::find(identities, number, &ClusterIdentity::number);
  if (it != identities.end()) return std::move(*it);
  throw Error(ErrorKind::not_found,
              "cluster " + name + " has no identity number " + std::to_string(number),
              "It has " + std::to_string(identities.front().number) + " to " +
                  std::to_string(identities.back().number) + ".",
              "walvault info shows them.");
}

Registered add_cluster(const Repository& repository, ClusterIdentity identity) {
  const auto latest = latest_entry(repository, identity.name);
  if (!latest || latest->state == State::removed) {
    identity.number = latest ? latest->identity.number + 1 : 1;
    if (put_entry(repository, {.state = State::active, .identity = identity})) {
      return {.identity = std::move(identity), .anew = true};
    }
  }
  // There before, or put at this instant: by another, or by a lost try of ours.
  const auto there = find_cluster(repository, identity.name);
  if (!there) throw lost_race(identity.name);
  if (is_same_cluster(*there, identity)) return {.identity = *there};
  throw Error(ErrorKind::conflict,
              "the name " + identity.name + " belongs to another cluster already",
              "Registered: " + described(*there) + "; offered: " + described(identity) + ".",
              "Register this server under another name; or, if it is the same cluster after "
              "pg_upgrade: walvault cluster upgrade " +
                  identity.name + " --pg CONNINFO");
}

Registered upgrade_cluster(const Repository& repository, ClusterIdentity identity) {
  const auto known = cluster_identities(repository, identity.name);
  const auto& newest = known.back();
  if (is_same_cluster(newest, identity)) return {.identity = newest};
  // Which system identifiers it had, has to be known.
  const auto before = known.front().number - 1;
  if (before > 0 && !find_readable_entry(repository, identity.name, before)) {
    throw Error(ErrorKind::corrupt, "an earlier identity of cluster " + identity.name + " is gone",
                "The object " + prefix_of(ObjectPlace::clusters, identity.name) +
                    std::to_string(before) + " is missing or damaged.",
                "walvault repair makes it again.");
  }
  const auto refuse = [&](const std::string& why, const std::string& hint) {
    return Error(ErrorKind::conflict, why,
                 "Registered: " + described(newest) + "; offered: " + described(identity) + ".",
                 hint);
  };
  for (const auto& earlier : known) {
    if (earlier.system_identifier != identity.system_identifier) continue;
    throw refuse("this server is no upgrade of cluster " + identity.name +
                     ": it has a system identifier that the cluster had before",
                 "Check --pg: is this the old server?");
  }
  if (identity.postgres_major < newest.postgres_major) {
    throw refuse("this server is older than cluster " + identity.name, "Check --pg.");
  }
  identity.number = newest.number + 1;
  if (put_entry(repository, {.state = State::active, .identity = identity})) {
    return {.identity = std::move(identity), .anew = true};
  }
  const auto there = find_cluster(repository, identity.name);
  if (!there || !is_same_cluster(*there, identity)) throw lost_race(identity.name);
  return {.identity = *there};
}

void remove_cluster(const Repository& repository, const std::string& name, Timestamp now) {
  auto last = get_cluster(repository, name);
  ++last.number;
  last.registered = now;
  if (!put_entry(repository, {.state = State::removed, .identity = last}) &&
      find_cluster(repository, name)) {
    throw lost_race(name);
  }
}

void copy_registrations(const Repository& from, const Repository& to, const std::string& name,
                        bool dry_run) {
  const auto latest = latest_entry(from, name);
  const auto latest_there = latest_entry(to, name);
  const auto conflict = [&](const std::string& detail, const std::string& hint) {
    return Error(ErrorKind::conflict,
                 "the name " + name + " means another cluster at " + to.storage().url(),
                 detail + " Nothing of it was copied.", hint);
  };
  const auto there_to = latest_there ? latest_there->identity.number : 0;
  for (std::uint32_t number = 1; latest && number <= latest->identity.number; ++number) {
    const auto key = prefix_of(ObjectPlace::clusters, name) + std::to_string(number);
    const auto payload = from.find_sealed(ObjectKind::cluster, key);
    if (!payload) {
      throw Error(ErrorKind::corrupt, "an earlier identity of cluster " + name + " is gone",
                  "The object " + key + " is missing at " + from.storage().url() + ".");
    }
    const auto ours = decode(number, *payload);
    if (number > there_to) {
      // That would hide for good what is stored there, which nobody has confirmed.
      if (ours.state == State::removed && there_to > 0 && latest_there->state == State::active) {
        throw conflict("It was removed here, and is registered there.",
                       "If what is stored there is to be given up: walvault cluster remove " +
                           name + " --yes --repo " + to.storage().url());
      }
      if (!dry_run) (void)to.put_sealed(ObjectKind::cluster, key, *payload);
    }
    const auto there = to.find_sealed(ObjectKind::cluster, key);
    if (!there) continue;  // a dry run
    const auto theirs = decode(number, *there);
    if (ours.state == theirs.state && is_same_cluster(ours.identity, theirs.identity)) continue;
    throw conflict("Registration " + std::to_string(number) + ": here " + described(ours.identity) +
                       (ours.state == State::removed ? ", removed" : "") + "; there " +
                       described(theirs.identity) +
                       (theirs.state == State::removed ? ", removed" : "") + ".",
                   "Copy to another place: another directory, or another prefix of the bucket.");
  }
  if (there_to == 0) return;
  // What counts here has to count there.
  const auto first_here = cluster_identities(from, name).front().number;
  if (!find_cluster(to, name) || cluster_identities(to, name).front().number > first_here) {
    throw conflict("It was removed there.", "Copy to another place.");
  }
}

}  // namespace walvault
