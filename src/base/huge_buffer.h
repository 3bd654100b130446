// Memory that is not cleared before it is used, and in huge pages where the
// kernel has them: for megabytes that are filled once, faulting in small pages
// takes a large part of the time. Blocks that are given back are kept for the next
// ones, a few of them: the kernel clears each page that it hands out.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "base/bytes.h"

namespace walvault {

class SpareBlocks;

struct GiveBlockBack {
  std::shared_ptr<SpareBlocks> spare = {};
  std::size_t block_bytes = 0;
  void operator()(std::uint8_t* block) const;
};

struct HugeBuffer {
  [[nodiscard]] std::span<std::uint8_t> span() const { return {bytes.get(), size}; }
  [[nodiscard]] ByteView view() const { return {bytes.get(), size}; }

  std::unique_ptr<std::uint8_t[], GiveBlockBack> bytes;
  std::size_t size = 0;  // may be made smaller
};

// Hands buffers out. Thread-safe; a buffer may outlive it, and be given back by any thread.
// Copies share what they keep.
class HugeBuffers {
 public:
  HugeBuffers();

  // Throws std::bad_alloc.
  [[nodiscard]] HugeBuffer take(std::size_t length) const;

 private:
  std::shared_ptr<SpareBlocks> spare_;
};

}  // namespace walvault
