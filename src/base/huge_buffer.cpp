#include "base/huge_buffer.h"

#include <sys/mman.h>

#include <array>
#include <cstdlib>
#include <mutex>
#include <new>

namespace walvault {
namespace {

constexpr std::size_t huge_page_bytes = 2u << 20;

}  // namespace

// Blocks of one size, the largest that came.
class SpareBlocks {
 public:
  SpareBlocks() = default;
  SpareBlocks(const SpareBlocks&) = delete;
  SpareBlocks& operator=(const SpareBlocks&) = delete;
  ~SpareBlocks() {
    while (count_ > 0) std::free(blocks_.at(--count_));
  }

  // nullptr: there is none.
  std::uint8_t* take(std::size_t block_bytes) {
    const std::lock_guard lock(mutex_);
    return count_ > 0 && block_bytes == block_bytes_ ? blocks_.at(--count_) : nullptr;
  }
  void put(std::uint8_t* block, std::size_t block_bytes) {
    const std::lock_guard lock(mutex_);
    if (block_bytes > block_bytes_) {
      while (count_ > 0) std::free(blocks_.at(--count_));
      block_bytes_ = block_bytes;
    }
    if (block_bytes == block_bytes_ && count_ < blocks_.size()) {
      blocks_.at(count_++) = block;
    } else {
      std::free(block);
    }
  }

 private:
  std::mutex mutex_;
  std::array<std::uint8_t*, 8> blocks_{};
  std::size_t count_ = 0;
  std::size_t block_bytes_ = 0;
};

HugeBuffers::HugeBuffers() : spare_(std::make_shared<SpareBlocks>()) {}

HugeBuffer HugeBuffers::take(std::size_t length) const {
  const auto rounded = (length + huge_page_bytes - 1) / huge_page_bytes * huge_page_bytes;
  auto* block = spare_->take(rounded);
  if (block == nullptr) {
    block = static_cast<std::uint8_t*>(std::aligned_alloc(huge_page_bytes, rounded));
    if (block == nullptr) throw std::bad_alloc();
    (void)::madvise(block, rounded, MADV_HUGEPAGE);
  }
  return {.bytes = {block, {.spare = spare_, .block_bytes = rounded}}, .size = length};
}

void GiveBlockBack::operator()(std::uint8_t* block) const { spare->put(block, block_bytes); }

}  // namespace walvault
