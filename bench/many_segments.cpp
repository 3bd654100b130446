// Makes a repository with many archived segments and one backup before them,
// to time what walks all of its WAL: bench/compare/many_segments.py.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>

#include "catalog/backup_info.h"
#include "catalog/stored_summary.h"
#include "repository/tree.h"
#include "storage/posix_storage.h"
#include "support/archived_wal.h"
#include "support/catalog_examples.h"
#include "support/memory_repository.h"

namespace walvault {
namespace {

constexpr std::uint64_t first_segment = 2;
// One page of records, and the last one crosses into the next segment.
constexpr int transactions = 40;

void make(const std::string& directory, std::uint64_t segments) {
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
  auto backup = backup_of("20261101T000000Z-0001", 1, first_segment, first_segment);
  backup.start_time = backup.stop_time = minute_of(first_segment);
  const auto key = backup_root_key(backup.cluster, backup.id);
  Root root;
  root.head = encode_backup_info(backup);
  (void)made.storage.put_if_absent(key, encode_root(root, key));
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
    WalSummarizer summarizer(parse_wal_segment_header(content), name.start(test_segment_bytes),
                             {1});
    summarizer.read(content);
    archive_file(archive, name.text(test_segment_bytes), content, minute_of(number + 1), {},
                 encode_wal_summary(summarizer.finish()));
    copy_out(made.storage);
  }
}

}  // namespace
}  // namespace walvault

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: many_segments DIRECTORY SEGMENTS\n";
    return 2;
  }
  walvault::make(argv[1], std::strtoull(argv[2], nullptr, 10));
  return 0;
}
