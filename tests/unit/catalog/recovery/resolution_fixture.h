// A server's WAL and the moments in it, as targets of a restore.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

#include "catalog/recovery/proved_plan.h"
#include "catalog/wal/stored_summary.h"
#include "support/catalog_examples.h"
#include "support/memory_repository.h"
#include "support/test_data.h"
#include "support/wal_builder.h"

namespace walvault {

inline constexpr std::uint64_t first_segment = 3;
inline const Timestamp noon = minute_of(0);

inline Timestamp at(int after_noon) { return noon + std::chrono::seconds(after_noon); }

inline RecoveryTarget to_time(Timestamp time, bool inclusive = true) {
  return {.kind = TargetKind::time,
          .asked = to_rfc3339(time),
          .time = time,
          .lsn = {},
          .xid = 0,
          .name = {},
          .inclusive = inclusive};
}

inline RecoveryTarget to(TargetKind kind) {
  RecoveryTarget target;
  target.kind = kind;
  return target;
}
inline RecoveryTarget to_xid(std::uint64_t xid, bool inclusive = true) {
  auto target = to(TargetKind::xid);
  target.xid = xid;
  target.asked = std::to_string(xid);
  target.inclusive = inclusive;
  return target;
}
inline RecoveryTarget to_name(const std::string& name) {
  auto target = to(TargetKind::name);
  target.name = name;
  target.asked = name;
  return target;
}
inline RecoveryTarget to_lsn(Lsn lsn) {
  auto target = to(TargetKind::lsn);
  target.lsn = lsn;
  target.asked = lsn.text();
  return target;
}

// A server's WAL from segment 3 on, archived, and a backup in its first pages.
class TargetResolutionTest : public testing::Test {
 protected:
  [[nodiscard]] std::size_t segments() const {
    return (wal_.pages().size() + test_segment_bytes - 1) / test_segment_bytes;
  }

  // Up to the end of the last one, and a record behind that.
  void fill_segments(std::uint64_t first, std::uint64_t last) {
    for (auto segment = first; segment <= last; ++segment) {
      wal_.fill(segment);
      wal_.add_filler(5000);
    }
  }

  // As the archiver does: whole segments, each last written to at its minute.
  void archive(bool with_summaries = true) {
    wal_.add_switch();
    for (std::size_t i = 0; i < segments(); ++i)
      archive_segment(i, wal_.segment(i), with_summaries);
  }
  void archive_segment(std::size_t index, const Bytes& content, bool with_summary = true) {
    const SegmentName name{.timeline = {1}, .number = first_segment + index};
    Bytes summary;
    if (with_summary) {
      WalSummarizer summarizer(parse_wal_segment_header(content), name.start(test_geometry), {1});
      summarizer.read(content);
      summary = encode_wal_summary({summarizer.finish()});
    }
    archive_file(archive_, name.text(test_geometry), content, minute_of(first_segment + index), {},
                 summary);
  }

  [[nodiscard]] ProvedPlan plan(const RecoveryTarget& target) const {
    return plan_proved_recovery({archive_, backups_}, {.target = target});
  }
  [[nodiscard]] RecoveryStop stop(const RecoveryTarget& target) const { return plan(target).stop; }
  [[nodiscard]] std::string refusal(const RecoveryTarget& target) const {
    return error_of([&] { (void)plan(target); });
  }
  [[nodiscard]] std::string words(const RecoveryTarget& target) const {
    return words_of_error([&] { (void)plan(target); });
  }

  MemoryRepository made_;
  WalArchive archive_{made_.repository, test_cluster()};
  WalBuilder wal_{first_segment};
  // Its times are minutes 3, before all commits of the tests.
  std::vector<BackupInfo> backups_{backup_of("a", 1, first_segment, first_segment)};
};

inline void expect_stop(const RecoveryStop& stop, Lsn lsn, bool inclusive) {
  ASSERT_TRUE(stop.lsn);
  EXPECT_EQ(*stop.lsn, lsn);
  EXPECT_EQ(stop.inclusive, inclusive);
}

}  // namespace walvault
