#include "postgres/checkpoint_record.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "support/wal_files.h"

namespace walvault {
namespace {

ControlFile control_at(Lsn checkpoint, const CheckpointSpec& spec = {}) {
  ControlFile control;
  control.checkpoint = checkpoint;
  std::ranges::copy(checkpoint_copy(spec), control.checkpoint_copy.begin());
  return control;
}

// A segment that holds the record from `offset` on, across page headers.
Bytes wal_with_record_at(std::size_t offset, const Bytes& record, std::size_t segments = 1) {
  Bytes wal;
  for (std::uint64_t number = 3; number < 3 + segments; ++number) {
    const auto segment = wal_segment(
        {.number = number, .content_bytes = test_segment_bytes - 40, .has_pages = true});
    wal.insert(wal.end(), segment.begin(), segment.end());
  }
  for (const auto byte : record) {
    if (offset % test_segment_bytes == 0) {
      offset += 40;
    } else if (offset % 8192 == 0) {
      offset += 24;
    }
    if (offset >= wal.size()) break;
    wal[offset++] = byte;
  }
  return wal;
}

constexpr Lsn start{3ull * test_segment_bytes};

TEST(CheckpointRecord, IsFoundWhereverItCrossesPagesAndSegments) {
  const auto record = checkpoint_record();
  for (std::size_t offset = 8192 - 120; offset < 8192; offset += 8) {
    const auto wal = wal_with_record_at(offset, record);
    EXPECT_TRUE(holds_checkpoint(wal, control_at({start.value + offset}))) << offset;
  }
  for (std::size_t offset = test_segment_bytes - 120; offset < test_segment_bytes; offset += 8) {
    const auto wal = wal_with_record_at(offset, record, 2);
    EXPECT_TRUE(holds_checkpoint(wal, control_at({start.value + offset}))) << offset;
    const bool is_whole = offset + record.size() <= test_segment_bytes;
    EXPECT_EQ(holds_checkpoint(ByteView(wal).first(test_segment_bytes),
                               control_at({start.value + offset})),
              is_whole)
        << offset;
  }
}

TEST(CheckpointRecord, IsAnothersWhenAnythingOfItDiffers) {
  const std::size_t offset = 20'000;
  const Lsn at{start.value + offset};
  const auto wal = wal_with_record_at(offset, checkpoint_record());
  EXPECT_TRUE(holds_checkpoint(wal, control_at(at)));
  CheckpointSpec other;
  other.time += 1;
  EXPECT_FALSE(holds_checkpoint(wal, control_at(at, other)));
  other = {};
  other.redo.value += 8;
  EXPECT_FALSE(holds_checkpoint(wal, control_at(at, other)));
  other = {};
  other.timeline = 2;
  EXPECT_FALSE(holds_checkpoint(wal, control_at(at, other)));
  // A standby moves this on in its pg_control.
  other = {};
  other.next_full_xid += 1000;
  EXPECT_TRUE(holds_checkpoint(wal, control_at(at, other)));
  EXPECT_FALSE(holds_checkpoint(wal, control_at({at.value + 8})));
  EXPECT_FALSE(holds_checkpoint(wal, control_at({start.value - 8})));
  EXPECT_FALSE(holds_checkpoint(wal, control_at({start.value + test_segment_bytes})));
  EXPECT_FALSE(holds_checkpoint(wal, control_at({~0ull})));
}

// Of a backup only these are kept.
TEST(CheckpointRecord, IsKnownByItsRedoPositionAndTimeline) {
  const std::size_t offset = 20'000;
  const auto wal = wal_with_record_at(offset, checkpoint_record());
  ControlFile control;
  control.checkpoint = {start.value + offset};
  const auto copy = checkpoint_copy();
  ByteReader in(copy, "a checkpoint");
  control.redo = {in.u64()};
  control.timeline = {in.u32()};
  EXPECT_TRUE(holds_checkpoint(wal, control));
  control.redo.value += 8;
  EXPECT_FALSE(holds_checkpoint(wal, control));
  control.redo.value -= 8;
  control.timeline.value += 1;
  EXPECT_FALSE(holds_checkpoint(wal, control));
}

TEST(CheckpointRecord, IsOfTheRightKind) {
  const std::size_t offset = 20'000;
  const auto control = control_at({start.value + offset});
  for (const std::size_t byte : {16u, 17u, 24u, 25u}) {
    auto record = checkpoint_record();
    record[byte] = static_cast<std::uint8_t>(record[byte] ^ 0x40u);
    EXPECT_FALSE(holds_checkpoint(wal_with_record_at(offset, record), control)) << byte;
  }
}

}  // namespace
}  // namespace walvault
