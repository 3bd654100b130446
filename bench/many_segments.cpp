// Makes a repository with many archived segments and backups among them, whose packs
// are there and hold nothing, to time what walks all of a repository without reading
// it: info, verify --present, expire, gc.
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>

#include "catalog/records/backup_info.h"
#include "catalog/wal/stored_summary.h"
#include "repository/tree.h"
#include "storage/posix_storage.h"
#include "support/archived_wal.h"
#include "support/catalog_examples.h"
#include "support/memory_repository.h"
#include "support/test_data.h"

namespace walvault {
namespace {

constexpr std::uint64_t first_segment = 2;
// One page of records, and the last one crosses into the next segment.
constexpr int transactions = 40;

// New ones of each backup, and those that it borrows from the ones before.
constexpr std::uint64_t new_packs = 20;
constexpr std::uint64_t borrowed_packs = 400;

// Backup `index` of those that lie in the first four fifths of the WAL.
void store_backup(MemoryRepository& made, std::uint64_t index, std::uint64_t first) {
  char id[32];
  (void)std::snprintf(id, sizeof id, "20261101T000000Z-%04x", static_cast<unsigned>(index));
  auto backup = backup_of(id, 1, first, first);
  backup.start_time = backup.stop_time = minute_of(first);
  const auto key = backup_root_key(backup.cluster, backup.id);
  Root root;
  root.head = encode_backup_info(backup);
  const auto pack_of = [](std::uint64_t number) {
    PackName name{.writer = id_of(static_cast<std::uint8_t>(number / new_packs)), .digest = {}};
    name.digest = sha256(as_bytes(std::to_string(number)));
    return name;
  };
  const auto end = (index + 1) * new_packs;
  const auto begin = end > borrowed_packs ? end - borrowed_packs : 0;
  for (auto number = begin; number < end; ++number) {
    root.packs.add(pack_of(number), 100);
    if (number + new_packs < end) continue;
    (void)made.storage.put_if_absent(pack_of(number).key(), random_bytes(100, number));
  }
  (void)made.storage.put_if_absent(key, encode_root(ObjectCodec(), root, key));
}

void make(const std::string& directory, std::uint64_t segments, std::uint64_t backups) {
  const auto copy_out = [&](MemoryStorage& from) {
    for (const auto& key : keys_under(from, "")) {
      const auto path = std::filesystem::path(directory) / key;
      std::filesystem::create_directories(path.parent_path());
      std::ofstream out(path, std::ios::binary);
      out << as_text(from.find(key, whole_object).value());
    }
    from.remove(keys_under(from, ""));
  };
  MemoryRepository made;
  auto identity = test_cluster();
  (void)add_cluster(made.repository, identity);
  for (std::uint64_t i = 0; i < backups; ++i) {
    store_backup(made, i, first_segment + i * (segments * 4 / 5) / backups);
  }
  const WalArchive archive(made.repository, identity);
  std::uint32_t xid = 1000;
  Lsn last{first_segment * test_segment_bytes - 8};
  for (auto number = first_segment; number < first_segment + segments; ++number) {
    WalBuilder wal(number);
    wal.follow(last);
    for (int i = 0; i < transactions; ++i) {
      wal.add_filler(150);
      wal.add_commit(xid++, minute_of(number) + std::chrono::seconds(i));
    }
    last = wal.add_switch();
    const auto content = wal.segment(0);
    const SegmentName name{.timeline = {1}, .number = number};
    WalSummarizer summarizer(parse_wal_segment_header(content), name.start(test_geometry), {1});
    summarizer.read(content);
    archive_file(archive, name.text(test_geometry), content, minute_of(number + 1), {},
                 encode_wal_summary({summarizer.finish()}));
    copy_out(made.storage);
  }
}

}  // namespace
}  // namespace walvault

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: many_segments DIRECTORY SEGMENTS BACKUPS\n";
    return 2;
  }
  walvault::make(argv[1], std::strtoull(argv[2], nullptr, 10), std::strtoull(argv[3], nullptr, 10));
  return 0;
}
