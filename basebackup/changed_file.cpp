#include "basebackup/changed_file.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "codec/crc32c.h"

namespace walvault {
namespace {

// So many of the parent's chunks are read at once.
constexpr std::size_t read_ahead_max = 32;

}  // namespace

ChangedFile::ChangedFile(TreeWriter& tree, FileEntry entry, Sizes sizes)
    : tree_(tree),
      entry_(std::move(entry)),
      sizes_(sizes),
      reader_(entry_.size, sizes.block_bytes, sizes.segment_blocks) {}

std::uint64_t ChangedFile::chunks() const { return (entry_.size + chunk_bytes - 1) / chunk_bytes; }

std::uint32_t ChangedFile::chunk_length(std::uint64_t chunk) const {
  return static_cast<std::uint32_t>(
      std::min<std::uint64_t>(chunk_bytes, entry_.size - chunk * chunk_bytes));
}

bool ChangedFile::is_changed(std::uint64_t chunk) const {
  const auto& blocks = header_->blocks;
  const auto end = (chunk + 1) * chunk_bytes;
  const auto it = std::ranges::lower_bound(
      blocks, chunk * chunk_bytes, {},
      [&](std::uint32_t block) { return std::uint64_t{block} * sizes_.block_bytes; });
  return it != blocks.end() && std::uint64_t{*it} * sizes_.block_bytes < end;
}

// As it is, unread: the parent has all of it, and no more.
bool ChangedFile::is_taken_over(std::uint64_t chunk) const {
  const auto end = chunk * chunk_bytes + chunk_length(chunk);
  const bool has_its_length = end <= old_.size && (end % chunk_bytes == 0 || end == old_.size);
  return keeps_all_ && has_its_length && !is_changed(chunk);
}

void ChangedFile::feed(ByteView bytes) {
  if (!header_) {
    if (!reader_.feed(bytes)) return;
    header_ = reader_.take();
    begin();
  }
  while (!bytes.empty()) {
    if (next_block_ == header_->blocks.size()) {
      throw Error(ErrorKind::corrupt, "\"" + entry_.path + "\" is longer than announced");
    }
    const auto offset = std::uint64_t{header_->blocks[next_block_]} * sizes_.block_bytes;
    const auto part = bytes.first(std::min(bytes.size(), sizes_.block_bytes - block_filled_));
    std::ranges::copy(part, content_.begin() + static_cast<std::ptrdiff_t>(
                                                   offset - chunk_ * chunk_bytes + block_filled_));
    bytes = bytes.subspan(part.size());
    block_filled_ += part.size();
    if (block_filled_ < sizes_.block_bytes) return;
    block_filled_ = 0;
    ++next_block_;
    const bool is_last_of_chunk =
        next_block_ == header_->blocks.size() ||
        std::uint64_t{header_->blocks[next_block_]} * sizes_.block_bytes / chunk_bytes != chunk_;
    if (!is_last_of_chunk) continue;
    end_chunk();
    pass_unchanged();
  }
}

void ChangedFile::begin() {
  entry_.size = std::uint64_t{header_->length_blocks()} * sizes_.block_bytes;
  const auto known = tree_.begin_file_of_parent(entry_);
  if (!known) {
    throw UnusableParent("\"" + entry_.path + "\" is not in it. " + tree_.parent_damage());
  }
  old_ = *known;
  kept_bytes_ = std::min(old_.size / sizes_.block_bytes * sizes_.block_bytes,
                         std::uint64_t{header_->truncation_block} * sizes_.block_bytes);
  keeps_all_ = kept_bytes_ == old_.size;
  if (keeps_all_) {
    old_crc_ = old_.crc;
    old_bytes_ = old_.size;
  }
  pass_unchanged();
}

// Up to the next chunk in which something changed.
void ChangedFile::pass_unchanged() {
  while (chunk_ < chunks()) {
    if (is_taken_over(chunk_)) {
      tree_.append_chunk_of_parent();
      ++chunk_;
      continue;
    }
    begin_chunk();
    if (is_changed(chunk_)) return;
    end_chunk();
  }
}

void ChangedFile::begin_chunk() {
  if (!ahead_.contains(chunk_)) read_ahead();
  const auto old = old_part(chunk_);
  content_.assign(old.begin(), old.end());
  content_.resize(chunk_length(chunk_));
}

void ChangedFile::end_chunk() {
  add_to_crc(content_);
  tree_.append(content_);
  ahead_.erase(chunk_);
  content_.clear();
  ++chunk_;
}

// What of a chunk of the parent still counts.
ByteView ChangedFile::old_part(std::uint64_t chunk) const {
  const auto it = ahead_.find(chunk);
  if (it == ahead_.end()) return {};
  const auto begin = chunk * chunk_bytes;
  const auto length = std::min<std::uint64_t>(chunk_length(chunk), kept_bytes_ - begin);
  return ByteView(it->second).first(length);
}

// The parent's chunks from this one on that are not taken over.
void ChangedFile::read_ahead() {
  std::vector<std::uint64_t> wanted;
  for (auto chunk = chunk_; chunk < chunks() && wanted.size() < read_ahead_max; ++chunk) {
    if (chunk * chunk_bytes >= kept_bytes_) break;
    if (!is_taken_over(chunk)) wanted.push_back(chunk);
  }
  tree_.read_chunks_of_parent(wanted, [&](std::uint64_t chunk, ByteView bytes) {
    ahead_[chunk].assign(bytes.begin(), bytes.end());
  });
}

void ChangedFile::add_to_crc(ByteView content) {
  const auto begin = chunk_ * chunk_bytes;
  auto added = content;
  if (begin < old_bytes_) {
    const auto length = std::min<std::uint64_t>(content.size(), old_bytes_ - begin);
    // Checksums of one length differ by what their contents differ by.
    const auto difference =
        crc32c(content.first(length)) ^ crc32c(ByteView(ahead_.at(chunk_)).first(length));
    old_crc_ ^= crc32c_combine(difference, 0, old_bytes_ - begin - length);
    added = content.subspan(length);
  }
  added_crc_ = crc32c(added, added_crc_);
  added_bytes_ += added.size();
}

ChangedFile::Whole ChangedFile::finish() {
  if (!header_ || !content_.empty()) {
    throw Error(ErrorKind::corrupt, "\"" + entry_.path + "\" is shorter than announced");
  }
  const auto crc = crc32c_combine(old_crc_, added_crc_, added_bytes_);
  tree_.end_file(crc);
  return {.size = entry_.size, .crc = crc};
}

}  // namespace walvault
