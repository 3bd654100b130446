#include "catalog/wal/transaction_ends.h"

#include "base/error.h"

namespace walvault {
namespace {

std::optional<TransactionRecord> end_of(const WalRecord& record, int major, WalRecordParts& parts) {
  try {
    parse_wal_record(record, major, parts);
    return transaction_record(record, parts.main, major);
  } catch (const Error&) {
    const auto glimpse = transaction_glimpse(record.bytes);
    if (!glimpse) return std::nullopt;
    TransactionRecord end;
    end.end = glimpse->end;
    end.time = glimpse->time;
    end.xid = glimpse->xid;
    return end;
  }
}

// Every record that begins in the segment, in order, until `each` returns false.
void visit_records(const WalArchive& archive, const SegmentSource& source,
                   const std::function<bool(const WalRecord&)>& each) {
  const auto behind = source.name.end(archive.identity().geometry);
  std::optional<WalReader> reader;
  bool done = false;
  auto number = source.name.number;
  std::optional<std::string> key = source.key;
  while (key && !done) {
    const auto object = archive.repository().storage().find(*key);
    if (!object) {
      throw Error(ErrorKind::unavailable, "the object " + *key + " is not there any more",
                  "It was there a moment ago.", "Try again.");
    }
    const auto wal = decode_wal_object(archive.repository().codec(), *object, *key, 1,
                                       archive.repository().buffers());
    const auto first = parse_wal_segment_header(wal);
    // Where history changes timelines, pages of a later one follow.
    if (!reader) reader.emplace(first, first.page.page_address, source.timeline);
    reader->read(wal, [&](const WalRecord& record) {
      if (record.start >= behind) done = true;
      if (!done && !each(record)) done = true;
    });
    // The last record may end in a later segment.
    if (!reader->tail() || reader->stop()) break;
    key = source.key_behind(++number);
  }
}

}  // namespace

void visit_transaction_ends(const WalArchive& archive, const SegmentSource& source,
                            const std::function<bool(Lsn, const TransactionRecord&)>& each) {
  const auto major = archive.identity().postgres_major;
  WalRecordParts parts;
  visit_records(archive, source, [&](const WalRecord& record) {
    if (!ends_transaction(record)) return true;
    const auto end = end_of(record, major, parts);
    return !end || each(record.start, *end);
  });
}

std::optional<Lsn> first_record_from(const WalArchive& archive, const SegmentSource& source,
                                     Lsn position) {
  std::optional<Lsn> found;
  visit_records(archive, source, [&](const WalRecord& record) {
    if (record.start >= position) found = record.start;
    return !found;
  });
  return found;
}

}  // namespace walvault
