#include "restore/fetch/recovery_pin.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "support/temporary_directory.h"
#include "support/test_data.h"

namespace walvault {
namespace {

[[nodiscard]] RecoveryPin example() {
  return {.repository_id = "0123456789abcdef",
          .repository_url = "file:///srv/a \"quoted\" one",
          .cluster = "main",
          .identity = 2,
          .system_identifier = 18'446'744'073'709'551'615ULL,
          .timeline = {3},
          .branches = {{.timeline = {1}, .branch = 0}, {.timeline = {3}, .branch = 1}},
          .runs = {{.timeline = {1}, .first = 5, .segments = 2},
                   {.timeline = {3}, .first = 7, .segments = 9}},
          .partial = "000000030000000000000010.partial.0011"};
}

TEST(RecoveryPin, ComesBackAsItWasWritten) {
  const auto pin = example();
  const auto text = encode_recovery_pin(pin);
  const auto back = decode_recovery_pin(as_bytes(text), "f");
  EXPECT_EQ(encode_recovery_pin(back), text);
  EXPECT_EQ(back.system_identifier, pin.system_identifier);
  EXPECT_EQ(back.branches, pin.branches);
  EXPECT_EQ(back.timeline, pin.timeline);
  EXPECT_EQ(back.partial, pin.partial);
}

TEST(RecoveryPin, NeedsTheSegmentsOfItsRuns) {
  const auto pin = example();
  EXPECT_TRUE(pin.needs({.timeline = {1}, .number = 5}));
  EXPECT_TRUE(pin.needs({.timeline = {1}, .number = 6}));
  EXPECT_TRUE(pin.needs({.timeline = {3}, .number = 15}));
  EXPECT_FALSE(pin.needs({.timeline = {1}, .number = 4}));
  EXPECT_FALSE(pin.needs({.timeline = {1}, .number = 7}));
  EXPECT_FALSE(pin.needs({.timeline = {3}, .number = 16}));
  EXPECT_FALSE(pin.needs({.timeline = {2}, .number = 7}));
}

TEST(RecoveryPin, BindsWhileItIsThere) {
  const TemporaryDirectory directory;
  const auto path = directory.path(recovery_pin_name);
  EXPECT_FALSE(find_recovery_pin(path));
  replace_file_durably(path, as_bytes(encode_recovery_pin(example())), 0600);
  EXPECT_TRUE(find_recovery_pin(path));
  // Made by hand, as PostgreSQL's documentation says.
  replace_file_durably(path, {}, 0600);
  EXPECT_FALSE(find_recovery_pin(path));
  // One that cannot be read binds, too: nothing is delivered without it.
  replace_file_durably(path, as_bytes("{\"walvault_recovery_plan\": 1"), 0600);
  EXPECT_EQ(error_of([&] { (void)find_recovery_pin(path); }), "corrupt");
}

TEST(RecoveryPin, WhatIsNoPlanIsDamage) {
  auto text = encode_recovery_pin(example());
  const auto refused = [](std::string content) {
    return error_of([&] { (void)decode_recovery_pin(as_bytes(content), "f"); });
  };
  const auto with = [&](const std::string& old, const std::string& other) {
    auto changed = text;
    const auto at = changed.find(old);
    EXPECT_NE(at, std::string::npos) << old;
    return changed.replace(at, old.size(), other);
  };
  EXPECT_EQ(refused(""), "corrupt");
  EXPECT_EQ(refused("[]"), "corrupt");
  EXPECT_EQ(refused(with("plan\": 1", "plan\": 2")), "corrupt");
  EXPECT_EQ(refused(with("\"timeline\": 3,\n  \"branches", "\"timeline\": 0,\n  \"branches")),
            "corrupt");
  EXPECT_EQ(refused(with("\"3-1\"", "\"3\"")), "corrupt");
  EXPECT_EQ(refused(with("\"18446744073709551615\"", "\"x\"")), "corrupt");
  EXPECT_EQ(refused(with("\"partial\"", "\"partially\"")), "corrupt");
}

}  // namespace
}  // namespace walvault
