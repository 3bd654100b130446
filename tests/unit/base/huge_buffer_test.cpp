#include "base/huge_buffer.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace walvault {
namespace {

constexpr std::size_t length = 3'000'000;

TEST(HugeBuffer, IsHandedOutAgainForTheSameSize) {
  const std::uint8_t* first = nullptr;
  {
    const HugeBuffer buffer(length);
    EXPECT_EQ(buffer.view().size(), length);
    first = buffer.view().data();
  }
  const HugeBuffer again(length - 1);
  EXPECT_EQ(again.view().data(), first) << "as many pages";
  EXPECT_EQ(again.view().size(), length - 1);
  const HugeBuffer other(length);
  EXPECT_NE(other.view().data(), first);
}

// One of another size is never handed out for it, however many there were.
TEST(HugeBuffer, HasTheSizeThatWasAskedFor) {
  for (const std::size_t size : {std::size_t{1}, length, 3 * length, length, std::size_t{1}}) {
    std::vector<HugeBuffer> many;
    for (int i = 0; i < 20; ++i) {
      many.emplace_back(size);
      std::ranges::fill(many.back().span(), static_cast<std::uint8_t>(i));
    }
    for (int i = 0; i < 20; ++i) EXPECT_EQ(many.at(i).view().back(), i);
  }
}

TEST(HugeBuffer, IsGivenBackByAnyThread) {
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([i] {
      for (int round = 0; round < 50; ++round) {
        const HugeBuffer buffer(length);
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
