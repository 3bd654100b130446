// Whether archived WAL can be read back: every stored byte, not only what its
// summaries tell.
#pragma once

#include <functional>

#include "catalog/wal/wal_stretch.h"

namespace walvault {

// The first segment of a stretch that cannot, and what is wrong with it.
struct UnreadableSegment {
  SegmentName name;
  std::string why;
};

// Reads the segments of a stretch from number `first` to `last`, with `threads` at
// work: headers, checksums of the stored frames, trailers. nullopt: all of it is
// right. `check_cancelled` is called from any thread.
[[nodiscard]] std::optional<UnreadableSegment> find_unreadable(
    const WalArchive& archive, const WalStretch& stretch, std::uint64_t first, std::uint64_t last,
    unsigned threads, const std::function<void()>& check_cancelled);

// One object. Error{corrupt} naming the key; false: it is not there.
[[nodiscard]] bool check_stored_wal(const WalArchive& archive, const std::string& key);

// What is wrong with an archived file, every byte of its object; empty: nothing.
// nullopt: it is not there. `deep` decodes it, and reads its records anew. `meter` is
// told of the bytes as they are read. Memory: a frame, stored and plain.
[[nodiscard]] std::optional<std::string> find_wal_fault(
    const Repository& repository, const std::string& key, bool deep,
    const std::function<void(std::uint64_t bytes)>& meter);

// The same of an object in memory, stored or to be stored under `key`; not deep.
[[nodiscard]] std::string find_wal_fault(const ObjectCodec& codec, ByteView object,
                                         const std::string& key);

}  // namespace walvault
