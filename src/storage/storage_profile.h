// How a kind of store wants to be used.
#pragma once

#include <cstddef>

namespace walvault {

struct StorageProfile {
  // Each answer takes its time: waits are shared by more threads, and answers remembered.
  bool is_remote = false;
  unsigned threads_min = 1;      // at least so many work, if more than processors
  unsigned segments_ahead = 15;  // archived along with one that is offered
  unsigned segments_prefetched = 8;
  // Packs are stored one at a time and large, or several at a time and smaller: as much memory
  // either way.
  unsigned pack_uploads = 1;
  std::size_t pack_bytes = 64u << 20;
  unsigned segment_uploads = 1;  // WAL segments stored at once
  unsigned copy_jobs = 2;        // objects that a copy has on their way at once
};

inline constexpr StorageProfile directory_profile{};
inline constexpr StorageProfile object_store_profile{.is_remote = true,
                                                     .threads_min = 8,
                                                     .segments_ahead = 64,
                                                     .segments_prefetched = 24,
                                                     .pack_uploads = 4,
                                                     .pack_bytes = 16u << 20,
                                                     .segment_uploads = 8,
                                                     .copy_jobs = 4};

}  // namespace walvault
