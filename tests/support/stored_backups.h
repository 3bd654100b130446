// Committed backups without content, for what looks at their heads alone.
#pragma once

#include "catalog/records/backup_info.h"
#include "repository/tree.h"

namespace walvault {

inline void store_backup(const Repository& repository, const BackupInfo& info) {
  const auto key = backup_root_key(info.cluster, info.id);
  Root root;
  root.head = encode_backup_info(info);
  (void)repository.storage().put_if_absent(key, encode_root(ObjectCodec(), root, key));
}

}  // namespace walvault
