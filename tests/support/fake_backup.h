// Whole base backups of a FakeServer, and what must be true of each.
#pragma once

#include <gtest/gtest.h>

#include "basebackup/backup_receiver.h"
#include "basebackup/base_backup.h"
#include "support/archived_wal.h"
#include "support/fake_server.h"
#include "support/memory_repository.h"
#include "support/tree_content.h"

namespace walvault {

[[nodiscard]] inline BackupInfo back_up(const WalArchive& archive, FakeServer& server,
                                        std::uint8_t writer, Clock& clock,
                                        const BaseBackupRequest& request = {}) {
  return take_base_backup(archive, server, id_of(writer), clock, request, Reporter());
}

// The segments that a backup of an unchanged FakeServer needs.
inline void archive_needed_wal(const WalArchive& archive) { archive_segments(archive, 1, 3, 4); }

// The backup holds exactly what the server sent.
inline void expect_whole_backup(const Repository& repository, const BackupInfo& backup,
                                const FakeServer& server) {
  TreeReader tree(repository, backup_root_key(backup.cluster, backup.id));
  EXPECT_TRUE(read_tree(tree) == server.all_files());
  EXPECT_EQ(tree.root().notes.at("backup_label"), bytes_of(server.label_text()));
  std::string manifest;
  tree.read_stream(manifest_stream, [&](ByteView bytes) { manifest += as_text(bytes); });
  EXPECT_EQ(manifest, server.manifest_text());
  std::set<PackName> named;
  for (const auto& entry : tree.root().packs.entries()) named.insert(entry.name);
  EXPECT_EQ(named, packs_reached(tree));
}

}  // namespace walvault
