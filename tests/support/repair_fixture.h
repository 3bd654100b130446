// A small repository with two backups, and another one to mend it from.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "catalog/copy/repository_copy.h"
#include "catalog/repair/repository_repair.h"
#include "repository/object_table.h"
#include "repository/tree_reader.h"
#include "repository/writer_session.h"
#include "support/catalog_examples.h"
#include "support/memory_repository.h"
#include "support/test_data.h"
#include "support/tree_content.h"

namespace walvault {

using Objects = std::map<std::string, Bytes>;

inline Objects objects_of(Storage& storage) {
  Objects objects;
  for (const auto& key : keys_under(storage, "")) {
    objects.emplace(key, storage.find(key, whole_object).value());
  }
  return objects;
}

inline void fill(Storage& storage, const Objects& objects) {
  storage.remove(keys_under(storage, ""));
  for (const auto& [key, bytes] : objects) (void)storage.put_if_absent(key, bytes);
}

class RepairTest : public testing::Test {
 protected:
  RepairTest() {
    auto identity = test_cluster();
    (void)add_cluster(made_.repository, identity);
    archive_segments(archive_, 1, 2, 6);
    back_up(1, "a", 2, 3, "");
    back_up(2, "b", 4, 5, "a");
  }

  void back_up(std::uint8_t writer, const std::string& id, std::uint64_t first, std::uint64_t last,
               const std::string& parent, const ClusterIdentity& identity = test_cluster()) {
    auto info = backup_of(id, 1, first, last);
    info.identity_number = identity.number;
    info.server_version = 150000;
    info.control.system_identifier = identity.system_identifier;
    info.control.wal_segment_bytes = test_segment_bytes;
    const auto key = backup_root_key("main", id);
    const WriterSession session(made_.repository, made_.clock, id_of(writer), key,
                                parent.empty() ? "" : backup_root_key("main", parent));
    TreeWriter tree(session, {});
    write_tree_file(tree, "PG_VERSION", as_bytes("15\n"));
    write_tree_file(tree, "base/1", random_bytes(3000, writer));
    auto root = tree.finish();
    root.head = encode_backup_info(info);
    session.commit(encode_root(ObjectCodec(), root, key));
  }

  // Another one that has all of it.
  void copy_to_other() {
    (void)copy_repository(made_.repository, other_.repository, made_.clock, {.run = id_of(90)}, {});
  }

  RepairReport repair(bool dry_run = false) { return repair_from(&other_.repository, dry_run); }
  RepairReport repair_from(const Repository* other, bool dry_run = false) {
    return repair_repository(made_.repository, other, made_.clock,
                             {.run = next_run(), .dry_run = dry_run}, quiet());
  }
  VerifyReport look() {
    VerifyRequest request;
    request.tier = VerifyTier::stored;
    return verify(made_.repository, made_.clock, next_run(), request, quiet());
  }
  static Reporter quiet() {
    return {.info = [](const std::string&) {},
            .warn = [](const std::string&) {},
            .check_cancelled = [] {}};
  }
  RandomId next_run() {
    auto run = id_of(200);
    run[3] = static_cast<std::uint8_t>(++runs_);
    run[4] = static_cast<std::uint8_t>(runs_ >> 8);
    run[5] = static_cast<std::uint8_t>(runs_ >> 16);
    return run;
  }

  void flip(const std::string& key, std::size_t byte) {
    auto bytes = made_.storage.find(key, whole_object).value();
    bytes.at(byte) ^= 0x10;
    made_.storage.overwrite(key, bytes);
  }
  [[nodiscard]] Bytes content_of(const std::string& id) {
    TreeReader tree(made_.repository, backup_root_key("main", id));
    Bytes content;
    tree.for_each_entry([&](FileEntry& entry) {
      if (entry.path == "base/1") content = read_tree_file(tree, entry);
    });
    return content;
  }
  static std::vector<std::string> mended_in(const RepairReport& report) {
    std::vector<std::string> keys;
    for (const auto& each : report.mended) keys.push_back(each.key);
    return keys;
  }
  static std::vector<std::string> unmended_in(const RepairReport& report) {
    std::vector<std::string> keys;
    for (const auto& each : report.unmended) keys.push_back(each.key);
    return keys;
  }

  MemoryRepository made_;
  MemoryRepository other_;
  WalArchive archive_{made_.repository, test_cluster()};
  std::uint32_t runs_ = 0;
};

}  // namespace walvault
