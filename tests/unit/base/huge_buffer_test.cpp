#include "base/huge_buffer.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace walvault {
namespace {

constexpr std::size_t length = 3'000'000;

TEST(HugeBuffer, IsHandedOutAgainForTheSameSize) {
  const HugeBuffers buffers;
  const std::uint8_t* first = nullptr;
  {
    const auto buffer = buffers.take(length);
    EXPECT_EQ(buffer.view().size(), length);
    first = buffer.view().data();
  }
  const auto again = buffers.take(length - 1);
  EXPECT_EQ(again.view().data(), first) << "as many pages";
  EXPECT_EQ(again.view().size(), length - 1);
  const auto other = buffers.take(length);
  EXPECT_NE(other.view().data(), first);
}

// One of another size is never handed out for it, however many there were.
TEST(HugeBuffer, HasTheSizeThatWasAskedFor) {
  const HugeBuffers buffers;
  for (const std::size_t size : {std::size_t{1}, length, 3 * length, length, std::size_t{1}}) {
    std::vector<HugeBuffer> many;
    for (std::uint8_t i = 0; i < 20; ++i) {
      many.push_back(buffers.take(size));
      std::ranges::fill(many.back().span(), i);
    }
    for (std::uint8_t i = 0; i < 20; ++i) EXPECT_EQ(many.at(i).view().back(), i);
  }
}

TEST(HugeBuffer, MayOutliveWhatHandedItOut) {
  const auto buffer = HugeBuffers().take(length);
  buffer.span().back() = 7;
  EXPECT_EQ(buffer.view().back(), 7);
}

TEST(HugeBuffer, IsGivenBackByAnyThread) {
  const HugeBuffers buffers;
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([i, &buffers] {
      for (int round = 0; round < 50; ++round) {
        const auto buffer = buffers.take(length);
        const auto mark = static_cast<std::uint8_t>(4 * round + i);
        buffer.span().front() = mark;
        std::this_thread::yield();
        EXPECT_EQ(buffer.view().front(), mark);
      }
    });
  }
}

}  // namespace
}  // namespace walvault
