#include "postgres/wal_reader.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "codec/crc32c.h"

namespace walvault {
namespace {

constexpr std::size_t short_page_header_bytes = 24;  // SizeOfXLogShortPHD
constexpr std::size_t record_alignment = 8;          // MAXALIGN
constexpr std::size_t crc_offset = 20;               // of xl_crc in a record
constexpr std::uint16_t first_is_continuation = 0x0001;
constexpr std::uint16_t long_header = 0x0002;
constexpr std::uint16_t first_is_overwrite = 0x0008;
constexpr std::uint16_t known_flags = 0x000F;
constexpr std::uint8_t manager_builtin_max = 21;  // RM_MAX_BUILTIN_ID
constexpr std::uint8_t manager_custom_min = 128;  // RM_MIN_CUSTOM_ID
constexpr std::uint8_t info_mask = 0xF0;
constexpr std::uint8_t info_switch = 0x40;     // XLOG_SWITCH
constexpr std::uint8_t info_overwrite = 0xD0;  // XLOG_OVERWRITE_CONTRECORD

std::uint64_t aligned(std::uint64_t value) {
  return (value + record_alignment - 1) / record_alignment * record_alignment;
}

template <typename Integer>
Integer load(ByteView bytes, std::size_t offset) {
  Integer value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

void keep(Bytes& kept, ByteView bytes, std::size_t most) {
  const auto part = bytes.first(std::min(bytes.size(), most - std::min(most, kept.size())));
  kept.insert(kept.end(), part.begin(), part.end());
}

// What an OVERWRITE_CONTRECORD record names; nullopt: it is none.
std::optional<Lsn> overwritten_lsn(const WalRecord& record) {
  // The header, two bytes before the data, and xl_overwrite_contrecord.
  constexpr std::size_t offset = wal_record_header_bytes + 2;
  if (record.manager != ResourceManager::xlog || (record.info & info_mask) != info_overwrite ||
      record.bytes.size() < offset + sizeof(std::uint64_t)) {
    return std::nullopt;
  }
  return Lsn{load<std::uint64_t>(record.bytes, offset)};
}

// PostgreSQL takes the checksum of a record's body first, then of its header.
bool crc_fits(ByteView header, std::uint32_t body_crc) {
  return crc32c(header.first(crc_offset), body_crc) == load<std::uint32_t>(header, crc_offset);
}

}  // namespace

std::optional<std::string> check_seam(const WalTail& tail, std::span<const WalHead> heads) {
  // The first bytes, in which the header lies, and the checksum of the body.
  Bytes first = tail.first;
  auto crc = tail.body_crc;
  auto bytes = tail.bytes;
  for (const auto& head : heads) {
    if (bytes + head.bytes + head.left != tail.length) {
      return "its parts do not come to its length of " + std::to_string(tail.length);
    }
    auto part_crc = head.crc;
    auto part_bytes = head.bytes;
    if (bytes < wal_record_header_bytes) {
      // What of the header lies in this part counts apart.
      const auto of_header = std::min<std::uint64_t>(wal_record_header_bytes - bytes, head.bytes);
      if (head.first.size() < of_header) return "its header is not kept";
      const auto header_part = ByteView(head.first).first(of_header);
      part_bytes -= of_header;
      part_crc = crc32c_combine(crc32c(header_part), part_crc, part_bytes);
      keep(first, header_part, wal_record_header_bytes);
    }
    crc = crc32c_combine(crc, part_crc, part_bytes);
    bytes += head.bytes;
  }
  if (bytes != tail.length) return "its end is missing";
  if (first.size() < wal_record_header_bytes) return "its header is not kept";
  if (!crc_fits(first, crc)) return "its checksum does not fit";
  return std::nullopt;
}

WalReader::WalReader(const WalSegmentHeader& first, Lsn start, TimelineId timeline)
    : magic_(first.page.magic),
      segment_bytes_(first.segment_bytes),
      page_bytes_(first.page_bytes),
      position_(start.value),
      end_(start.value),
      timeline_max_(timeline.value) {}

void WalReader::read(ByteView pages, const OnRecord& on_record) {
  while (!stop_ && pages.size() >= page_bytes_) {
    read_page(pages.first(page_bytes_), on_record);
    pages = pages.subspan(page_bytes_);
  }
}

std::optional<WalTail> WalReader::tail() const {
  if (!in_record_) return std::nullopt;
  WalTail tail{.start = {assembly_.start},
               .bytes = assembly_.bytes,
               .length = assembly_.length,
               .body_crc = assembly_.body_crc,
               .first = {}};
  keep(tail.first, assembly_.kept, wal_part_kept_max);
  return tail;
}

void WalReader::stop_at(WalStopReason reason, std::uint64_t at, std::string text) {
  stop_ = WalStop{.reason = reason, .at = {at}, .text = std::move(text)};
}

bool WalReader::damaged_record(std::uint64_t at, const std::string& why) {
  stop_at(WalStopReason::damage, at, "the record at " + Lsn{at}.text() + ": " + why);
  return false;
}

void WalReader::read_page(ByteView page, const OnRecord& on_record) {
  const auto address = position_;
  if (address % segment_bytes_ == 0) switched_ = false;
  position_ += page_bytes_;
  if (switched_) return;

  ByteReader in(page, "a WAL page");
  if (!read_page_header(in)) return;
  PageStart start{.page = page,
                  .address = address,
                  .offset = in.position(),
                  .info = load<std::uint16_t>(page, 2),
                  .remaining = load<std::uint32_t>(page, 16)};
  if (first_page_ || head_.left > 0) {
    if (!read_head(start)) return;
  } else if (in_record_) {
    if (!read_continuation(start, on_record)) return;
  } else if ((start.info & first_is_continuation) != 0) {
    stop_at(WalStopReason::damage, address,
            "the page at " + Lsn{address}.text() + " continues a record that was not begun");
    return;
  }
  read_records(page, start.offset, on_record);
}

bool WalReader::read_head(PageStart& start) {
  const bool was_first = std::exchange(first_page_, false);
  if ((start.info & first_is_continuation) != 0) {
    if (start.remaining == 0 || start.remaining > wal_record_bytes_max ||
        (!was_first && start.remaining != head_.left)) {
      stop_at(WalStopReason::damage, start.address,
              "the page at " + Lsn{start.address}.text() + " continues another record");
      return false;
    }
    head_.left = start.remaining;
    const auto payload = start.payload();
    add_to_head(payload.first(std::min<std::size_t>(start.remaining, payload.size())));
    if (head_.left > 0) return false;
    start.offset = aligned(start.offset + start.remaining);
    end_ = start.address + start.offset;
    if (!head_ends_switch() || !is_all_zero(start.payload())) return true;
    switched_ = true;
    end_ = segment_end(start.address);
    return false;
  }
  if ((start.info & first_is_overwrite) != 0) {
    head_.overwrites = true;
    head_.left = 0;
    return true;
  }
  if (was_first) return true;
  stop_at(WalStopReason::damage, start.address,
          "the page at " + Lsn{start.address}.text() + " does not continue the record before it");
  return false;
}

bool WalReader::read_continuation(PageStart& start, const OnRecord& on_record) {
  if ((start.info & first_is_overwrite) != 0) {
    // Its server crashed before it was finished, and wrote on behind it.
    in_record_ = false;
    overwritten_ = assembly_.start;
    return true;
  }
  const auto left = assembly_.length - assembly_.bytes;
  if ((start.info & first_is_continuation) == 0 || start.remaining != left) {
    return damaged_record(assembly_.start,
                          "the page at " + Lsn{start.address}.text() + " does not continue it");
  }
  const auto payload = start.payload();
  const auto part = payload.first(std::min<std::size_t>(left, payload.size()));
  assemble(part);
  if (assembly_.bytes < assembly_.length) return false;
  in_record_ = false;
  start.offset = aligned(start.offset + part.size());
  deliver(assembly_.kept, assembly_.start, assembly_.length, assembly_.body_crc,
          start.address + start.offset, on_record);
  return !stop_;
}

bool WalReader::read_page_header(ByteReader& in) {
  const auto address = position_ - page_bytes_;
  const auto header = in.raw(short_page_header_bytes);
  const auto magic = load<std::uint16_t>(header, 0);
  const auto info = load<std::uint16_t>(header, 2);
  const auto timeline = load<std::uint32_t>(header, 4);
  const auto page_address = load<std::uint64_t>(header, 8);
  const bool opens_segment = address % segment_bytes_ == 0;
  const auto refuse = [&](WalStopReason reason, const std::string& why) {
    // What was begun before is not finished: it starts there.
    const auto at = in_record_ ? assembly_.start : address;
    stop_at(reason, at, "the page at " + Lsn{address}.text() + " " + why);
    return false;
  };
  if (is_all_zero(header)) return refuse(WalStopReason::zeros, "was not written");
  if (magic != magic_) {
    char text[8];
    std::snprintf(text, sizeof text, "%04X", magic);
    return refuse(WalStopReason::damage, std::string("has the magic ") + text);
  }
  if (page_address != address) {
    return refuse(page_address < address ? WalStopReason::stale_page : WalStopReason::damage,
                  "says that it is that of " + Lsn{page_address}.text());
  }
  if ((info & ~known_flags) != 0 || ((info & long_header) != 0) != opens_segment) {
    return refuse(WalStopReason::damage, "has wrong flags");
  }
  if (timeline < timeline_) {
    return refuse(WalStopReason::stale_page, "is of timeline " + std::to_string(timeline));
  }
  if (timeline > timeline_max_) {
    return refuse(WalStopReason::damage, "is of timeline " + std::to_string(timeline));
  }
  timeline_ = timeline;
  if (opens_segment) (void)in.raw(wal_segment_header_bytes - short_page_header_bytes);
  return true;
}

void WalReader::add_to_head(ByteView bytes) {
  head_.crc = crc32c(bytes, head_.crc);
  head_.bytes += bytes.size();
  head_.left -= bytes.size();
  keep(head_.first, bytes, wal_part_kept_max);
}

// Whether what ends here is a record without a body, and a switch: of its header
// at least the last eight bytes lie here, and they tell.
bool WalReader::head_ends_switch() const {
  constexpr std::size_t told_bytes = 8;  // from xl_info on
  if (head_.bytes < told_bytes || head_.bytes >= wal_record_header_bytes) return false;
  const auto told = ByteView(head_.first).last(told_bytes);
  return (told[0] & info_mask) == info_switch &&
         static_cast<ResourceManager>(told[1]) == ResourceManager::xlog;
}

std::uint64_t WalReader::segment_end(std::uint64_t position) const {
  return (position / segment_bytes_ + 1) * segment_bytes_;
}

void WalReader::assemble(ByteView bytes) {
  const auto header_left =
      wal_record_header_bytes - std::min<std::uint64_t>(wal_record_header_bytes, assembly_.bytes);
  if (bytes.size() > header_left) {
    assembly_.body_crc = crc32c(bytes.subspan(header_left), assembly_.body_crc);
  }
  assembly_.bytes += bytes.size();
  keep(assembly_.kept, bytes, wal_record_kept_max);
}

// REQUIRES: a whole record header.
bool WalReader::check_header(ByteView header, std::uint64_t start) {
  const auto manager = header[17];
  if (manager > manager_builtin_max && manager < manager_custom_min) {
    return damaged_record(start, "its resource manager is " + std::to_string(manager));
  }
  const auto previous = load<std::uint64_t>(header, 8);
  if (previous_ != 0 ? previous != previous_ : previous >= start) {
    return damaged_record(start, "the record before it should start at " + Lsn{previous}.text());
  }
  return true;
}

void WalReader::deliver(ByteView bytes, std::uint64_t start, std::uint32_t length,
                        std::uint32_t body_crc, std::uint64_t end, const OnRecord& on_record) {
  if (!check_header(bytes, start)) return;
  if (!crc_fits(bytes, body_crc)) {
    (void)damaged_record(start, "its checksum does not fit");
    return;
  }
  const WalRecord record{.start = {start},
                         .previous = {load<std::uint64_t>(bytes, 8)},
                         .length = length,
                         .xid = load<std::uint32_t>(bytes, 4),
                         .info = bytes[16],
                         .manager = static_cast<ResourceManager>(bytes[17]),
                         .bytes = bytes};
  if (overwritten_ != 0 && overwritten_lsn(record) != Lsn{overwritten_}) {
    (void)damaged_record(overwritten_, "it was not finished, and nothing says why");
    return;
  }
  overwritten_ = 0;
  previous_ = start;
  end_ = end;
  switched_ = record.manager == ResourceManager::xlog && (record.info & info_mask) == info_switch;
  if (switched_) end_ = segment_end(end - 1);
  on_record(record);
}

void WalReader::read_records(ByteView page, std::size_t offset, const OnRecord& on_record) {
  const auto address = position_ - page_bytes_;
  while (!stop_ && !switched_ && offset < page.size()) {
    const auto start = address + offset;
    const auto rest = page.subspan(offset);
    const auto length = load<std::uint32_t>(rest, 0);
    if (length == 0) {
      if (is_all_zero(rest)) {
        stop_at(WalStopReason::zeros, start, "nothing was written at " + Lsn{start}.text());
      } else {
        (void)damaged_record(start, "its length is 0");
      }
      return;
    }
    if (length < wal_record_header_bytes || length > wal_record_bytes_max) {
      (void)damaged_record(start, "its length is " + std::to_string(length));
      return;
    }
    if (length > rest.size()) {
      // Known early, so that a wrong length is not followed for pages.
      if (rest.size() >= wal_record_header_bytes && !check_header(rest, start)) return;
      in_record_ = true;
      assembly_.start = start;
      assembly_.length = length;
      assembly_.bytes = 0;
      assembly_.body_crc = 0;
      assembly_.kept.clear();
      assemble(rest);
      return;
    }
    const auto record = rest.first(length);
    offset = aligned(offset + length);
    deliver(record, start, length, crc32c(record.subspan(wal_record_header_bytes)),
            address + offset, on_record);
  }
}

}  // namespace walvault
