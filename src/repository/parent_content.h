// Content that the parent of a backup has, read again for the new one.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "repository/chunk_decoder.h"
#include "repository/writer_session.h"

namespace walvault {

// What the parent has could not be had where nothing else will do.
class UnusableParent : public Error {
 public:
  explicit UnusableParent(const std::string& detail, const std::optional<PackName>& pack = {})
      : Error(ErrorKind::corrupt, "what the backup before has of a file cannot be read", detail),
        pack_(pack) {}

  // That which was found damaged, if it is a chunk's.
  [[nodiscard]] const std::optional<PackName>& pack() const { return pack_; }

 private:
  std::optional<PackName> pack_;
};

// Reads these chunks, all of whose frames are read at once. `sink` gets the number of each and its
// bytes, none for a chunk of zeros. UnusableParent, also for a DamagedChunk that `sink` throws.
void read_parent_chunks(const WriterSession& session, const std::vector<LentRef>& refs,
                        ChunkDecoder& decoder,
                        const std::function<void(std::size_t, ByteView)>& sink);

}  // namespace walvault
