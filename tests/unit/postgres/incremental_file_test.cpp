#include "postgres/incremental_file.h"

#include <gtest/gtest.h>

#include "support/test_data.h"

namespace walvault {
namespace {

constexpr std::uint32_t block_bytes = 8192;
constexpr std::uint32_t segment_blocks = 131072;

Bytes header_of(const std::vector<std::uint32_t>& blocks, std::uint32_t truncation,
                std::uint32_t magic = 0xd3ae1f0d) {
  ByteWriter out;
  out.u32(magic);
  out.u32(static_cast<std::uint32_t>(blocks.size()));
  out.u32(truncation);
  for (const auto block : blocks) out.u32(block);
  while (!blocks.empty() && out.size() % block_bytes != 0) out.u8(0);
  return out.take();
}

IncrementalHeader read(const Bytes& header, std::uint64_t file_bytes, std::size_t piece) {
  IncrementalHeaderReader reader(file_bytes, block_bytes, segment_blocks);
  for (std::size_t at = 0; at < header.size(); at += piece) {
    auto bytes = ByteView(header).subspan(at, std::min(piece, header.size() - at));
    const bool is_complete = reader.feed(bytes);
    EXPECT_EQ(is_complete, at + piece >= header.size());
    EXPECT_TRUE(bytes.empty());
  }
  return reader.take();
}
std::string refusal(const Bytes& header, std::uint64_t file_bytes) {
  return error_of([&] { (void)read(header, file_bytes, header.size()); });
}

TEST(IncrementalFile, IsKnownByItsName) {
  EXPECT_EQ(path_of_incremental("base/5/INCREMENTAL.1259"), "base/5/1259");
  EXPECT_EQ(path_of_incremental("pg_tblspc/16384/PG_17_202406281/5/INCREMENTAL.16385.1"),
            "pg_tblspc/16384/PG_17_202406281/5/16385.1");
  EXPECT_EQ(path_of_incremental("global/INCREMENTAL.1262_vm"), "global/1262_vm");
  EXPECT_FALSE(path_of_incremental("INCREMENTAL.1"));
  EXPECT_FALSE(path_of_incremental("base/5/INCREMENTAL.txt"));
  EXPECT_FALSE(path_of_incremental("base/INCREMENTAL.5/1259"));
  EXPECT_FALSE(path_of_incremental("base/5/1259"));
}

TEST(IncrementalFile, IsReadInPiecesOfAnySize) {
  const std::vector<std::uint32_t> blocks{0, 7, 8, 4000};
  for (const auto piece : std::vector<std::size_t>{1, 5, 12, 13, 28, 8192}) {
    const auto header = read(header_of(blocks, 100), 8192 + 4 * 8192, piece);
    EXPECT_EQ(header.blocks, blocks);
    EXPECT_EQ(header.truncation_block, 100u);
    EXPECT_EQ(header.length_blocks(), 4001u);
  }
}

TEST(IncrementalFile, WithoutBlocksHasNoPadding) {
  const auto header = read(header_of({}, 12), 12, 12);
  EXPECT_TRUE(header.blocks.empty());
  EXPECT_EQ(header.length_blocks(), 12u);
}

TEST(IncrementalFile, LeavesTheBlocks) {
  auto file = header_of({3}, 4);
  file.resize(file.size() + 8192, 9);
  IncrementalHeaderReader reader(file.size(), block_bytes, segment_blocks);
  ByteView bytes = file;
  EXPECT_TRUE(reader.feed(bytes));
  EXPECT_EQ(bytes.size(), 8192u);
  EXPECT_EQ(reader.take().length_blocks(), 4u);
}

// 2045 numbers fill the first block to its end.
TEST(IncrementalFile, ItsHeaderMayFillABlockExactly) {
  std::vector<std::uint32_t> blocks(2045);
  for (std::uint32_t i = 0; i < blocks.size(); ++i) blocks[i] = i;
  EXPECT_EQ(header_of(blocks, 0).size(), 8192u);
  EXPECT_EQ(read(header_of(blocks, 0), 8192 + 2045 * 8192, 8192).blocks, blocks);
  blocks.push_back(5000);
  EXPECT_EQ(read(header_of(blocks, 0), 2 * 8192 + 2046 * 8192, 8192).blocks, blocks);
}

// Of a relation of several files, in place of the file's.
TEST(IncrementalFile, ItsLengthIsThatOfAFileAtMost) {
  EXPECT_EQ(read(header_of({}, segment_blocks + 5), 12, 12).length_blocks(), segment_blocks);
}

TEST(IncrementalFile, RefusesWhatNoServerSends) {
  EXPECT_EQ(refusal(header_of({}, 1, 0xd3ae1f0e), 12), "corrupt");
  EXPECT_EQ(refusal(header_of({1}, 1), 8192), "corrupt") << "without its block";
  EXPECT_EQ(refusal(header_of({1}, 1), 3 * 8192), "corrupt");
  EXPECT_EQ(refusal(header_of({}, segment_blocks), 12), "nothing");
  EXPECT_EQ(refusal(header_of({2, 1}, 4), 3 * 8192), "corrupt");
  EXPECT_EQ(refusal(header_of({1, 1}, 4), 3 * 8192), "corrupt");
  EXPECT_EQ(refusal(header_of({segment_blocks}, 4), 2 * 8192), "corrupt");
  // A count that would take more memory than there is.
  ByteWriter out;
  out.u32(0xd3ae1f0d);
  out.u32(0xffffffff);
  out.u32(1);
  EXPECT_EQ(refusal(out.take(), 12), "corrupt");
}

}  // namespace
}  // namespace walvault
