#include "catalog/repair/registration_repair.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>

#include "base/error.h"
#include "catalog/records/backup_info.h"
#include "catalog/records/timeline_branch.h"
#include "catalog/verification/orphans.h"
#include "catalog/wal/wal_object.h"
#include "postgres/timeline_history.h"
#include "postgres/wal_page.h"
#include "repository/damage.h"
#include "repository/object_table.h"
#include "repository/tree.h"

namespace walvault {
namespace {

// WAL files that are asked what they are of: one that is whole is enough.
constexpr int looks_max = 1000;

std::vector<std::string> parts_of(std::string_view key) {
  std::vector<std::string> parts;
  while (true) {
    const auto slash = std::min(key.find('/'), key.size());
    parts.emplace_back(key.substr(0, slash));
    if (slash == key.size()) return parts;
    key.remove_prefix(slash + 1);
  }
}

std::optional<std::uint32_t> number_in(std::string_view text, int base = 10) {
  std::uint32_t number = 0;
  const auto* const end = text.data() + text.size();
  const auto [stop, failure] = std::from_chars(text.data(), end, number, base);
  return failure == std::errc{} && stop == end ? std::optional(number) : std::nullopt;
}

// A directory of segments; beside them lies the history file.
bool is_log(std::string_view name) { return name.size() == 8 && number_in(name, 16); }

class RegistrationRepair {
 public:
  RegistrationRepair(const Repository& ours, const Repository* theirs, bool dry_run,
                     RepairReport& report)
      : ours_(ours),
        theirs_(theirs),
        storage_(ours.storage()),
        dry_run_(dry_run),
        report_(report) {}

  void run() {
    std::set<std::string> keys;
    for (const auto& orphan : find_unregistered(ours_)) keys.insert(orphan.key);
    for (const auto place : {ObjectPlace::clusters, ObjectPlace::branches}) {
      storage_.list(prefix_of(place), [&](const ObjectInfo& object) {
        if (!find(ours_, object.key)) keys.insert(object.key);
      });
    }
    // "branches/" before "clusters/": the one does not need the other.
    for (const auto& key : keys) mend(key);
  }

 private:
  static ObjectKind kind_of(const std::string& key) { return info_of(*place_of(key)).kind; }

  static std::optional<Bytes> find(const Repository& repository, const std::string& key) {
    return unless_damaged([&] { return repository.find_sealed(kind_of(key), key); });
  }

  void mend(const std::string& key) {
    const auto parts = parts_of(key);
    const bool is_branch = kind_of(key) == ObjectKind::branch;
    const auto number = parts.size() > 2 ? number_in(parts[2]) : std::nullopt;
    if (!number || (is_branch && parts.size() != 5)) {
      report_.unmended.push_back({.key = key, .why = "Its name is none that walvault gives."});
      return;
    }
    const auto made = is_branch ? opening_from_wal(parts) : registration_from_content(parts);
    const auto taken = theirs_ == nullptr ? std::nullopt : find(*theirs_, key);
    const bool fits = taken && (is_branch ? is_one_cluster(parts[1], *number)
                                          : fits_content(parts[1], *number, *taken, made));
    if (fits) {
      put(key, *taken, "taken from " + theirs_->storage().url());
    } else if (made) {
      put(key, *made,
          is_branch ? "made again from the histories that are archived"
                    : "made again from the backups and WAL that are here");
    } else {
      report_.unmended.push_back(
          {.key = key,
           .why = "No backup or WAL of it is whole that would tell what it said" +
                  std::string(theirs_ == nullptr ? "." : ", and the other repository lacks it.")});
    }
  }

  void put(const std::string& key, ByteView payload, std::string how) {
    report_.mended.push_back({.key = key, .how = std::move(how)});
    if (dry_run_) return;
    const auto kind = kind_of(key);
    put_mended(storage_, key, ours_.codec().seal(kind, key, payload), [&](ByteView there) {
      return unless_damaged([&] { return std::optional(ours_.codec().unseal(kind, key, there)); })
          .has_value();
    });
  }

  // Whether theirs is of the cluster that the content here is of.
  [[nodiscard]] bool fits_content(const std::string& cluster, std::uint32_t number, ByteView taken,
                                  const std::optional<Bytes>& made) const {
    const auto theirs =
        unless_damaged([&] { return std::optional(decode_registration(number, taken)); });
    if (!theirs) return false;
    // Nothing is stored under it: then the others of the name tell.
    if (!made) return have_one_series(cluster, number);
    return !theirs->is_removed &&
           is_same_cluster(theirs->identity, decode_registration(number, *made).identity);
  }

  [[nodiscard]] static std::optional<Registration> registration_in(const Repository& repository,
                                                                   const std::string& cluster,
                                                                   std::uint32_t number) {
    const auto payload =
        find(repository, prefix_of(ObjectPlace::clusters, cluster) + std::to_string(number));
    if (!payload) return std::nullopt;
    return unless_damaged([&] { return std::optional(decode_registration(number, *payload)); });
  }

  // Whether that number is of one server in both.
  [[nodiscard]] bool is_one_cluster(const std::string& cluster, std::uint32_t number) const {
    const auto here = registration_in(ours_, cluster, number);
    const auto there = registration_in(*theirs_, cluster, number);
    return here && there && !here->is_removed && !there->is_removed &&
           is_same_cluster(here->identity, there->identity);
  }

  // Whether all other numbers that are here mean the same there, and there is one.
  [[nodiscard]] bool have_one_series(const std::string& cluster, std::uint32_t but) const {
    bool is_any = false;
    for (const auto& name : storage_.list_names(prefix_of(ObjectPlace::clusters, cluster))) {
      const auto number = number_in(name);
      if (!number || *number == but) continue;
      const auto here = registration_in(ours_, cluster, *number);
      const auto there = registration_in(*theirs_, cluster, *number);
      if (!here || !there || here->is_removed != there->is_removed ||
          (!here->is_removed && !is_same_cluster(here->identity, there->identity))) {
        return false;
      }
      is_any = is_any || !here->is_removed;
    }
    return is_any;
  }

  [[nodiscard]] std::optional<Bytes> registration_from_content(
      const std::vector<std::string>& parts) const {
    Registration registration;
    registration.identity.name = parts[1];
    registration.identity.number = *number_in(parts[2]);
    if (!tell_from_backups(registration.identity) && !tell_from_wal(registration.identity)) {
      return std::nullopt;
    }
    return encode_registration(registration);
  }

  [[nodiscard]] bool tell_from_backups(ClusterIdentity& identity) const {
    bool is_told = false;
    for (const auto& id : storage_.list_names(prefix_of(ObjectPlace::backups, identity.name))) {
      const auto key = backup_root_key(identity.name, id);
      const auto prefix = storage_.find(key, {.length = root_prefix_bytes});
      if (!prefix || is_of_kind(*prefix, ObjectKind::tombstone)) continue;
      const auto info = unless_damaged([&] {
        return std::optional(decode_backup_info(decode_root_head(ours_.codec(), *prefix, key)));
      });
      if (!info || info->identity_number != identity.number ||
          !is_segment_size(info->control.wal_segment_bytes)) {
        continue;
      }
      if (!is_told || info->start_time < identity.registered) {
        identity.registered = info->start_time;
      }
      is_told = true;
      identity.system_identifier = info->control.system_identifier;
      identity.postgres_major = info->server_version / 10000;
      identity.geometry.segment_bytes = info->control.wal_segment_bytes;
    }
    return is_told;
  }

  [[nodiscard]] bool tell_from_wal(ClusterIdentity& identity) const {
    const auto prefix = prefix_of(ObjectPlace::wal, identity);
    int looks = 0;
    for (const auto& branch : storage_.list_names(prefix)) {
      const auto directory = prefix + branch + "/";
      for (const auto& log : storage_.list_names(directory)) {
        if (!is_log(log)) continue;
        const auto log_prefix = std::string(directory).append(log).append("/");
        for (const auto& name : storage_.list_names(log_prefix)) {
          if (++looks > looks_max) return false;
          const auto header = header_of(log_prefix + name);
          if (!header || header->kind != WalFileKind::segment) continue;
          const auto major = postgres_major_of_magic(header->page_magic);
          if (!major || !is_segment_size(header->plain_bytes)) continue;
          identity.system_identifier = header->system_identifier;
          identity.postgres_major = *major;
          identity.geometry.segment_bytes = header->plain_bytes;
          identity.registered = header->archived;
          return true;
        }
      }
    }
    return false;
  }

  [[nodiscard]] std::optional<WalObjectHeader> header_of(const std::string& key) const {
    const auto prefix = storage_.find(key, {.length = wal_object_prefix_bytes});
    if (!prefix) return std::nullopt;
    return unless_damaged(
        [&] { return std::optional(parse_wal_object_header(ours_.codec(), *prefix, key).header); });
  }

  // branches/CLUSTER/NUMBER/TIMELINE/BRANCH. The timelines that came from the branch before were
  // archived before anything was of this one.
  [[nodiscard]] std::optional<Bytes> opening_from_wal(const std::vector<std::string>& parts) const {
    const auto timeline = number_in(parts[3], 16);
    const auto branch = number_in(parts[4]);
    if (!timeline || !branch || *branch == 0) return std::nullopt;
    ClusterIdentity identity;
    identity.name = parts[1];
    identity.number = *number_in(parts[2]);
    const auto prefix = prefix_of(ObjectPlace::wal, identity);
    const auto began = first_archived(prefix + parts[3] + "-" + parts[4] + "/");
    if (!began) return std::nullopt;
    const auto before =
        *branch > 1 ? first_archived(prefix + parts[3] + "-" + std::to_string(*branch - 1) + "/")
                    : std::nullopt;
    BranchOpening opening{
        .opened = {.timeline = {*timeline}, .branch = *branch}, .when = *began, .descendants = {}};
    for (const auto& name : storage_.list_names(prefix)) {
      // 00000003-0
      const auto dash = name.find('-');
      const auto id = number_in(std::string_view(name).substr(0, dash), 16);
      const auto of = dash == std::string::npos
                          ? std::nullopt
                          : number_in(std::string_view(name).substr(dash + 1));
      if (!id || !of || *id <= *timeline) continue;
      const auto archived = archived_with_ancestor(prefix + name + "/", {*id}, {*timeline});
      if (archived && *archived < *began && (!before || *archived >= *before)) {
        opening.descendants.push_back({.timeline = {*id}, .branch = *of});
      }
    }
    return encode_branch_opening(opening);
  }

  // When the first segment of a branch was archived that is whole.
  [[nodiscard]] std::optional<Timestamp> first_archived(const std::string& directory) const {
    int looks = 0;
    for (const auto& log : storage_.list_names(directory)) {
      if (!is_log(log)) continue;
      const auto log_prefix = std::string(directory).append(log).append("/");
      for (const auto& name : storage_.list_names(log_prefix)) {
        if (++looks > looks_max) return std::nullopt;
        if (const auto header = header_of(log_prefix + name)) return header->archived;
      }
    }
    return std::nullopt;
  }

  // When the history file of a timeline was archived, if that passes through the other.
  [[nodiscard]] std::optional<Timestamp> archived_with_ancestor(const std::string& directory,
                                                                TimelineId timeline,
                                                                TimelineId ancestor) const {
    const auto key = directory + history_file_name(timeline);
    const auto object = storage_.find(key);
    if (!object) return std::nullopt;
    return unless_damaged([&]() -> std::optional<Timestamp> {
      const auto content = decode_wal_object(ours_.codec(), *object, key, 1);
      if (!TimelineHistory::parse(timeline, content).leaves(ancestor)) return std::nullopt;
      return parse_wal_object_header(ours_.codec(), *object, key).header.archived;
    });
  }

  const Repository& ours_;
  const Repository* theirs_;
  Storage& storage_;
  const bool dry_run_;
  RepairReport& report_;
};

}  // namespace

void repair_registrations(const Repository& ours, const Repository* theirs, bool dry_run,
                          RepairReport& report) {
  RegistrationRepair(ours, theirs, dry_run, report).run();
}

}  // namespace walvault
