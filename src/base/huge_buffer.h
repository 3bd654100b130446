// Memory that is not cleared before it is used, and in huge pages where the
// kernel has them: for megabytes that are filled once, faulting in small pages
// takes a large part of the time.
#pragma once

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <span>

#include "base/bytes.h"

namespace walvault {

struct HugeBuffer {
  HugeBuffer() = default;
  explicit HugeBuffer(std::size_t length) : size(length) {
    constexpr std::size_t huge_page_bytes = 2u << 20;
    const auto rounded = (length + huge_page_bytes - 1) / huge_page_bytes * huge_page_bytes;
    bytes.reset(static_cast<std::uint8_t*>(std::aligned_alloc(huge_page_bytes, rounded)));
    if (!bytes) throw std::bad_alloc();
    (void)::madvise(bytes.get(), rounded, MADV_HUGEPAGE);
  }

  [[nodiscard]] std::span<std::uint8_t> span() const { return {bytes.get(), size}; }
  [[nodiscard]] ByteView view() const { return {bytes.get(), size}; }

  struct Free {
    void operator()(std::uint8_t* block) const { std::free(block); }
  };
  std::unique_ptr<std::uint8_t[], Free> bytes;
  std::size_t size = 0;  // may be made smaller
};

}  // namespace walvault
