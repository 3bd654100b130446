#include "base/huge_buffer.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace walvault {
namespace {

constexpr std::size_t length = 3'000'000;

TEST(HugeBuffer, IsHandedOutAgainForTheSameSize) {
  // The largest of all here.
  constexpr std::size_t largest = 39'000'000;
  const std::uint8_t* first = nullptr;
  {
    const HugeBuffer buffer(largest);
    EXPECT_EQ(buffer.view().size(), largest);
    first = buffer.view().data();
  }
  const HugeBuffer again(largest - 1);
  EXPECT_EQ(again.view().data(), first) << "as many pages";
  EXPECT_EQ(again.view().size(), largest - 1);
  const HugeBuffer other(largest);
  EXPECT_NE(other.view().data(), first);
}

// One of another size is never handed out for it, however many there were.
TEST(HugeBuffer, HasTheSizeThatWasAskedFor) {
  for (const std::size_t size : {std::size_t{1}, length, 3 * length, length, std::size_t{1}}) {
    std::vector<HugeBuffer> many;
    for (std::uint8_t i = 0; i < 20; ++i) {
      many.emplace_back(size);
      std::ranges::fill(many.back().span(), i);
    }
    for (std::uint8_t i = 0; i < 20; ++i) EXPECT_EQ(many.at(i).view().back(), i);
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
