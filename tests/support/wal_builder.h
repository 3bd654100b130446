// WAL as a server writes it: pages, records, checksums, chain. For what reads
// records; the segments of wal_files.h hold none.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "codec/crc32c.h"
#include "postgres/wal_reader.h"
#include "postgres/wal_record.h"
#include "support/wal_files.h"

namespace walvault {

class WalBuilder {
 public:
  static constexpr std::size_t page_bytes = 8192;

  // Begins with the first byte of a segment.
  explicit WalBuilder(std::uint64_t first_segment = 3, int postgres_major = 15,
                      std::uint32_t timeline = 1)
      : start_(first_segment * test_segment_bytes),
        magic_(*wal_page_magic(postgres_major)),
        timeline_(timeline) {}

  // Adds a record and returns where it starts. `body` is all behind its header.
  Lsn add(std::uint8_t manager, std::uint8_t info, std::uint32_t xid, ByteView body) {
    begin_page();
    const auto at = position();
    ByteWriter out;
    out.u32(static_cast<std::uint32_t>(wal_record_header_bytes + body.size()));
    out.u32(xid);
    out.u64(previous_);
    out.u8(info);
    out.u8(manager);
    out.u16(0);
    out.u32(crc32c(out.bytes(), crc32c(body)));
    out.raw(body);
    previous_ = at;
    write(out.bytes());
    while (bytes_.size() % 8 != 0) bytes_.push_back(0);
    return {at};
  }

  // A record of main data alone.
  Lsn add_main(std::uint8_t manager, std::uint8_t info, std::uint32_t xid, ByteView main) {
    ByteWriter body;
    if (main.size() < 256) {
      body.u8(255);
      body.u8(static_cast<std::uint8_t>(main.size()));
    } else {
      body.u8(254);
      body.u32(static_cast<std::uint32_t>(main.size()));
    }
    body.raw(main);
    return add(manager, info, xid, body.bytes());
  }

  // Fills up with a record that means nothing.
  Lsn add_filler(std::size_t bytes, std::uint8_t seed = 1) {
    Bytes main(bytes);
    for (std::size_t i = 0; i < bytes; ++i) main[i] = static_cast<std::uint8_t>(seed * 31 + i * 7);
    return add_main(21, 0, 0, main);
  }

  static std::int64_t postgres_time(Timestamp time) {
    return time.time_since_epoch().count() - 946'684'800'000'000;
  }

  struct TransactionSpec {
    TransactionEnd end = TransactionEnd::commit;
    std::vector<std::uint32_t> subtransactions = {};
    std::vector<RelationFile> dropped = {};
    std::uint32_t prepared_xid = 0;
    int dropped_statistics = 0;  // each of 12 bytes, as from 15 to 17
    int invalidations = 0;
  };
  Lsn add_end(std::uint32_t xid, Timestamp time, const TransactionSpec& spec) {
    ByteWriter main;
    main.i64(postgres_time(time));
    const bool commit = spec.end == TransactionEnd::commit;
    const std::uint32_t xinfo =
        (spec.subtransactions.empty() ? 0u : 2u) | (spec.dropped.empty() ? 0u : 4u) |
        (spec.invalidations == 0 ? 0u : 8u) | (spec.prepared_xid == 0 ? 0u : 16u) |
        (spec.dropped_statistics == 0 ? 0u : 256u);
    if (xinfo != 0) main.u32(xinfo);
    if (!spec.subtransactions.empty()) {
      main.u32(static_cast<std::uint32_t>(spec.subtransactions.size()));
      for (const auto sub : spec.subtransactions) main.u32(sub);
    }
    if (!spec.dropped.empty()) {
      main.u32(static_cast<std::uint32_t>(spec.dropped.size()));
      for (const auto& file : spec.dropped) write_relation(main, file);
    }
    if (spec.dropped_statistics > 0) {
      main.u32(static_cast<std::uint32_t>(spec.dropped_statistics));
      main.raw(Bytes(12 * static_cast<std::size_t>(spec.dropped_statistics), 9));
    }
    if (spec.invalidations > 0) {
      main.u32(static_cast<std::uint32_t>(spec.invalidations));
      main.raw(Bytes(16 * static_cast<std::size_t>(spec.invalidations), 8));
    }
    if (spec.prepared_xid != 0) main.u32(spec.prepared_xid);
    const bool prepared = spec.prepared_xid != 0;
    const auto operation = commit ? (prepared ? 0x30 : 0x00) : (prepared ? 0x40 : 0x20);
    return add_main(1, static_cast<std::uint8_t>(operation | (xinfo != 0 ? 0x80 : 0)), xid,
                    main.bytes());
  }
  // XLOG_PARAMETER_CHANGE, as a server writes it that starts with other settings.
  Lsn add_parameter_change(WalLevel level, std::uint32_t max_connections = 100) {
    ByteWriter main;
    for (const std::uint32_t number : {max_connections, 8u, 10u, 0u, 64u}) main.u32(number);
    main.u32(static_cast<std::uint32_t>(level));
    main.u32(0);  // wal_log_hints, track_commit_timestamp
    return add_main(0, 0x60, 0, main.bytes());
  }
  Lsn add_tablespace(std::uint32_t oid, const std::string& location) {
    ByteWriter main;
    main.u32(oid);
    main.raw(as_bytes(location));
    main.u8(0);
    return add_main(5, 0x00, 0, main.bytes());
  }
  Lsn add_commit(std::uint32_t xid, Timestamp time) { return add_end(xid, time, {}); }

  // A record that changes one page.
  Lsn add_on_page(std::uint8_t manager, std::uint8_t info, std::uint32_t xid,
                  const RelationFile& relation, ByteView main) {
    ByteWriter body;
    body.u8(0);     // block 0
    body.u8(0x20);  // main fork, has data
    body.u16(5);
    write_relation(body, relation);
    body.u32(7);  // the page
    body.u8(255);
    body.u8(static_cast<std::uint8_t>(main.size()));
    body.raw(Bytes(5, 3));
    body.raw(main);
    return add(manager, info, xid, body.bytes());
  }
  Lsn add_insert(std::uint32_t xid, const RelationFile& relation) {
    return add_on_page(10, 0x00, xid, relation, Bytes(3));
  }
  Lsn add_delete(std::uint32_t xid, const RelationFile& relation) {
    return add_on_page(10, 0x10, xid, relation, Bytes(8));
  }

  Lsn add_restore_point(const std::string& name, Timestamp time) {
    ByteWriter main;
    main.i64(postgres_time(time));
    main.raw(as_bytes(name));
    main.raw(Bytes(64 - name.size()));
    return add_main(0, 0x70, 0, main.bytes());
  }

  // Ends the segment early, as pg_switch_wal does.
  Lsn add_switch() {
    const auto at = add(0, 0x40, 0, {});
    pad_segment();
    return at;
  }

  // As a server that crashed while it wrote its last record: the page ends with
  // a part of it, and the next one says that it was given up.
  Lsn add_unfinished(std::size_t bytes) {
    const auto before = previous_;
    const auto at = add_filler(bytes);
    // Back to the end of the page that it begins in.
    bytes_.resize((at.value - start_) / page_bytes * page_bytes + page_bytes);
    overwrites_ = true;
    previous_ = before;
    return at;
  }
  Lsn add_overwrite(Lsn unfinished, Timestamp time) {
    ByteWriter main;
    main.u64(unfinished.value);
    main.i64(postgres_time(time));
    return add_main(0, 0xD0, 0, main.bytes());
  }

  static void write_relation(ByteWriter& out, const RelationFile& relation) {
    out.u32(relation.tablespace);
    out.u32(relation.database);
    out.u32(relation.number);
  }

  // What the first record names as the one before it.
  void follow(Lsn previous) { previous_ = previous.value; }

  [[nodiscard]] Lsn start() const { return {start_}; }
  // Where the next record will start, unless it opens a page.
  [[nodiscard]] std::uint64_t position() const { return start_ + bytes_.size(); }
  [[nodiscard]] std::size_t left_in_segment() const {
    return test_segment_bytes - bytes_.size() % test_segment_bytes;
  }

  // Up to so many bytes before the end of a segment.
  void fill(std::uint64_t segment, std::size_t before_end = 3000) {
    const auto end = (segment + 1) * test_segment_bytes - before_end;
    while (position() + 2100 < end) add_filler(2000);
  }
  // Up to exactly so many.
  void fill_exactly(std::uint64_t segment, std::size_t before_end) {
    fill(segment, 10'000);
    add_filler(left_in_segment() - page_bytes - 24 - 5);
    add_filler(page_bytes - 24 - before_end - 24 - 5);
    if (left_in_segment() != before_end) std::abort();
  }

  void pad_segment() {
    bytes_.resize((bytes_.size() + test_segment_bytes - 1) / test_segment_bytes *
                  test_segment_bytes);
  }

  // All of it in whole pages, zeros behind the end.
  [[nodiscard]] Bytes pages() const {
    auto result = bytes_;
    result.resize((result.size() + page_bytes - 1) / page_bytes * page_bytes);
    return result;
  }
  [[nodiscard]] Bytes segment(std::size_t index) const {
    Bytes result(test_segment_bytes);
    const auto from = index * test_segment_bytes;
    const auto length = std::min<std::size_t>(test_segment_bytes, bytes_.size() - from);
    std::copy_n(bytes_.begin() + static_cast<std::ptrdiff_t>(from), length, result.begin());
    return result;
  }

 private:
  // The header of a page, if the next byte opens one. `left` are the bytes of a
  // record that go on in it.
  void begin_page(std::size_t left = 0) {
    if (bytes_.size() % page_bytes != 0) return;
    const bool opens_segment = bytes_.size() % test_segment_bytes == 0;
    ByteWriter out;
    out.u16(magic_);
    out.u16(static_cast<std::uint16_t>((left > 0 ? 1 : 0) | (opens_segment ? 2 : 0) |
                                       (overwrites_ ? 8 : 0)));
    overwrites_ = false;
    out.u32(timeline_);
    out.u64(position());
    out.u32(static_cast<std::uint32_t>(left));
    out.u32(0);
    if (opens_segment) {
      out.u64(test_system_identifier);
      out.u32(test_segment_bytes);
      out.u32(page_bytes);
    }
    bytes_.insert(bytes_.end(), out.bytes().begin(), out.bytes().end());
  }

  void write(ByteView record) {
    while (true) {
      const auto room = page_bytes - bytes_.size() % page_bytes;
      const auto part = record.first(std::min(room, record.size()));
      bytes_.insert(bytes_.end(), part.begin(), part.end());
      record = record.subspan(part.size());
      if (record.empty()) return;
      begin_page(record.size());
    }
  }

  std::uint64_t start_;
  std::uint16_t magic_;
  std::uint32_t timeline_;
  std::uint64_t previous_ = 0;
  bool overwrites_ = false;
  Bytes bytes_;
};

// Whole segments of a server's WAL, each with the checkpoint of wal_files.h
// where that has it, and ended by a switch.
[[nodiscard]] inline Bytes whole_segments(std::uint64_t first, std::size_t count) {
  WalBuilder wal(first);
  for (std::size_t i = 0; i < count; ++i) {
    wal.add_filler(test_checkpoint_offset - wal_segment_header_bytes - wal_record_header_bytes - 2);
    wal.add_main(0, 0x10, 0, checkpoint_copy());
    wal.add_filler(50'000, static_cast<std::uint8_t>(i));
    wal.add_switch();
  }
  return wal.pages();
}

}  // namespace walvault
