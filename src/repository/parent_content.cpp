#include "repository/parent_content.h"

namespace walvault {

void read_parent_chunks(const WriterSession& session, const std::vector<LentRef>& refs,
                        ChunkDecoder& decoder,
                        const std::function<void(std::size_t, ByteView)>& sink) {
  std::vector<FramePlace> places;
  for (const auto& ref : refs) {
    const auto more = ref.chunk.places();
    places.insert(places.end(), more.begin(), more.end());
  }
  StoredFrames frames(session.repository().storage(), session.lenders());
  try {
    frames.read(std::move(places), [](std::uint64_t) {});
  } catch (const Error& error) {
    // It may be of no use for a full backup, and must not stop that.
    if (error.kind() != ErrorKind::corrupt && error.kind() != ErrorKind::unavailable) throw;
    throw UnusableParent(one_line(error));
  }
  for (std::size_t i = 0; i < refs.size(); ++i) {
    try {
      const auto& chunk = refs[i].chunk;
      sink(i, chunk.zero ? ByteView() : decoder.decode(frames, chunk));
    } catch (const DamagedChunk& damage) {
      throw UnusableParent(one_line(damage), damage.pack());
    }
  }
}

}  // namespace walvault
