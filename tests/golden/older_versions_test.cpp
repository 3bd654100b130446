// Golden bytes of what this program does not write any more: an older one did, and they are read
// for ever, or passed over where they are derived.
#include <gtest/gtest.h>

#include "catalog/wal/stored_summary.h"
#include "catalog/wal/wal_ledger.h"
#include "catalog/wal/wal_object.h"
#include "support/golden_files.h"
#include "support/summary_example.h"

namespace walvault {
namespace {

TEST(OlderVersions, OfASummaryIsRead) {
  const auto stored = read_golden("wal-summary.bin");
  auto expected = example_summary();
  expected.knows_changes = false;
  EXPECT_EQ(decode_wal_summary(stored, "k", 1), StoredSummary{expected});
  EXPECT_EQ(encode_wal_summary_1(example_summary()), stored);

  const auto place = parse_wal_object_trailer(read_golden("wal-trailer-with-summary.bin"), "k");
  EXPECT_EQ(place.offset, 200u);
  EXPECT_EQ(place.length, 300u);
  EXPECT_EQ(place.version, 1u);
}

TEST(OlderVersions, OfALedgerIsPassedOver) {
  const std::string key = "wal-ledger/main/1/00000001-0/00000000/0123456789abcdef";
  const auto payload = ObjectCodec().unseal(ObjectKind::ledger, key, read_golden("wal-ledger.bin"));
  EXPECT_THROW((void)decode_wal_ledger(payload, key), Error);
}

}  // namespace
}  // namespace walvault
