#include "catalog/records/backup_keep.h"

#include "base/format.h"
#include "repository/object_table.h"

namespace walvault {
namespace {}  // namespace

BackupKeep parse_backup_keep(std::string_view text, std::string_view what, Timestamp now) {
  if (text == "forever") return {.when = now, .until = std::nullopt};
  return {.when = now, .until = now + parse_duration(text, what)};
}

Bytes encode_backup_keep(const BackupKeep& keep) {
  ByteWriter out;
  out.time(keep.when);
  out.u8(keep.until ? 1 : 0);
  out.time(keep.until.value_or(Timestamp{}));
  return out.take();
}

BackupKeep decode_backup_keep(ByteView payload) {
  ByteReader in(payload, "the keep of a backup");
  BackupKeep keep;
  keep.when = in.time();
  const bool ends = in.u8() != 0;
  const auto until = in.time();
  if (ends) keep.until = until;
  in.expect_end();
  return keep;
}

void put_backup_keep(const Repository& repository, const std::string& cluster,
                     const std::string& id, const BackupKeep& keep) {
  const auto prefix = prefix_of(ObjectPlace::keeps, cluster) + id + "/";
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
  const auto prefix = prefix_of(ObjectPlace::keeps, cluster);
  for (const auto& id : repository.storage().list_names(prefix)) {
    std::string series = prefix;
    series.append(id).append("/");
    if (const auto latest = repository.latest_in_series(ObjectKind::keep, series)) {
      keeps.emplace(id, decode_backup_keep(latest->second));
    }
  }
  return keeps;
}

}  // namespace walvault
