#include "catalog/backup_keep.h"

#include "base/format.h"
#include "catalog/backup_info.h"
#include "repository/writer_session.h"

namespace walvault {
namespace {

std::string keeps_prefix(const std::string& cluster) { return "keeps/" + cluster + "/"; }
std::string deleted_prefix(const std::string& cluster) { return "deleted/" + cluster + "/"; }

Timestamp read_time(ByteReader& in) { return Timestamp(std::chrono::microseconds(in.i64())); }

}  // namespace

BackupKeep parse_backup_keep(std::string_view text, std::string_view what, Timestamp now) {
  if (text == "forever") return {.when = now, .until = std::nullopt};
  return {.when = now, .until = now + parse_duration(text, what)};
}

Bytes encode_backup_keep(const BackupKeep& keep) {
  ByteWriter out;
  out.i64(keep.when.time_since_epoch().count());
  out.u8(keep.until ? 1 : 0);
  out.i64(keep.until.value_or(Timestamp{}).time_since_epoch().count());
  return out.take();
}

BackupKeep decode_backup_keep(ByteView payload) {
  ByteReader in(payload, "the keep of a backup");
  BackupKeep keep;
  keep.when = read_time(in);
  const bool ends = in.u8() != 0;
  const auto until = read_time(in);
  if (ends) keep.until = until;
  in.expect_end();
  return keep;
}

void put_backup_keep(const Repository& repository, const std::string& cluster,
                     const std::string& id, const BackupKeep& keep) {
  const auto prefix = keeps_prefix(cluster) + id + "/";
  const auto payload = encode_backup_keep(keep);
  const auto latest = repository.latest_in_series(ObjectKind::keep, prefix);
  auto number = latest ? latest->first + 1 : 1;
  while (!repository.put_sealed(ObjectKind::keep, prefix + std::to_string(number), payload)) {
    ++number;
  }
}

std::map<std::string, BackupKeep> list_backup_keeps(const Repository& repository,
                                                    const std::string& cluster) {
  std::map<std::string, BackupKeep> keeps;
  const auto prefix = keeps_prefix(cluster);
  for (const auto& id : repository.storage().list_names(prefix)) {
    std::string series = prefix;
    series.append(id).append("/");
    if (const auto latest = repository.latest_in_series(ObjectKind::keep, series)) {
      keeps.emplace(id, decode_backup_keep(latest->second));
    }
  }
  return keeps;
}

void delete_backup(const Repository& repository, const std::string& cluster, const std::string& id,
                   Timestamp now) {
  ByteWriter payload;
  payload.i64(now.time_since_epoch().count());
  const auto root = backup_root_key(cluster, id);
  (void)repository.put_sealed(ObjectKind::deleted, deletion_key(root), payload.bytes());
  repository.storage().remove({root});
}

std::set<std::string> deleted_backups(const Repository& repository, const std::string& cluster) {
  std::set<std::string> ids;
  for (auto& id : repository.storage().list_names(deleted_prefix(cluster))) {
    ids.insert(std::move(id));
  }
  return ids;
}

}  // namespace walvault
