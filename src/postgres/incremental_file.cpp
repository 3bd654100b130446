#include "postgres/incremental_file.h"

#include <algorithm>

#include "base/error.h"
#include "postgres/relation_path.h"

namespace walvault {
namespace {

constexpr std::string_view name_prefix = "INCREMENTAL.";
constexpr std::uint32_t magic = 0xd3ae1f0d;
constexpr std::size_t fixed_bytes = 12;  // magic, count, truncation block
constexpr std::size_t number_bytes = 4;

Error malformed(std::string detail) {
  return {ErrorKind::corrupt, "the server sent changes in a form that is not known",
          std::move(detail)};
}

}  // namespace

std::optional<std::string> path_of_incremental(std::string_view path) {
  const auto name = path.rfind('/') + 1;
  if (!path.substr(name).starts_with(name_prefix)) return std::nullopt;
  auto whole =
      std::string(path.substr(0, name)) + std::string(path.substr(name + name_prefix.size()));
  if (!parse_relation_path(whole)) return std::nullopt;
  return whole;
}

std::uint32_t IncrementalHeader::length_blocks() const {
  return blocks.empty() ? truncation_block : std::max(truncation_block, blocks.back() + 1);
}

IncrementalHeaderReader::IncrementalHeaderReader(std::uint64_t file_bytes,
                                                 std::uint32_t block_bytes,
                                                 std::uint32_t segment_blocks)
    : file_bytes_(file_bytes), block_bytes_(block_bytes), segment_blocks_(segment_blocks) {}

std::size_t IncrementalHeaderReader::needed() const {
  return header_bytes_.value_or(fixed_bytes) - header_.size();
}

bool IncrementalHeaderReader::feed(ByteView& bytes) {
  while (needed() > 0 && !bytes.empty()) {
    const auto part = bytes.first(std::min(needed(), bytes.size()));
    header_.insert(header_.end(), part.begin(), part.end());
    bytes = bytes.subspan(part.size());
    if (!header_bytes_ && header_.size() == fixed_bytes) check_lengths();
  }
  return header_bytes_ && needed() == 0;
}

void IncrementalHeaderReader::check_lengths() {
  ByteReader in(header_, "an incremental file");
  if (in.u32() != magic) throw malformed("It does not begin as an incremental file does.");
  count_ = in.u32();
  // Of a relation of several files, servers before 17.8 and 18.2 may give its length here.
  truncation_block_ = std::min(in.u32(), segment_blocks_);
  if (count_ > segment_blocks_) {
    throw malformed("It has " + std::to_string(count_) + " blocks.");
  }
  auto length = fixed_bytes + number_bytes * std::size_t{count_};
  // The blocks begin at a multiple of their size.
  if (count_ > 0) length = (length + block_bytes_ - 1) / block_bytes_ * block_bytes_;
  if (length + std::uint64_t{count_} * block_bytes_ != file_bytes_) {
    throw malformed("It is " + std::to_string(file_bytes_) + " bytes long and has " +
                    std::to_string(count_) + " blocks.");
  }
  header_bytes_ = length;
}

IncrementalHeader IncrementalHeaderReader::take() {
  ByteReader in(ByteView(header_).subspan(fixed_bytes), "an incremental file");
  IncrementalHeader header;
  header.truncation_block = truncation_block_;
  for (std::uint32_t i = 0; i < count_; ++i) {
    const auto block = in.u32();
    if (block >= segment_blocks_ || (i > 0 && block <= header.blocks.back())) {
      throw malformed("Its blocks are not in order.");
    }
    header.blocks.push_back(block);
  }
  return header;
}

}  // namespace walvault
