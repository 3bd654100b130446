#include "base/clock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>

#include "support/errors.h"

namespace walvault {
namespace {

using namespace std::chrono_literals;
using std::chrono::sys_days;
using testing::HasSubstr;

const Timestamp noon = sys_days{2026y / 11 / 21} + 12h;

// Local time of central Europe, without needing a time zone database.
class LocalTime : public testing::Test {
 protected:
  LocalTime() {
    if (const char* zone = std::getenv("TZ")) before_ = zone;
    set("CET-1CEST,M3.5.0,M10.5.0/3");
  }
  ~LocalTime() override {
    if (before_) {
      set(before_->c_str());
    } else {
      ::unsetenv("TZ");
      ::tzset();
    }
  }
  static void set(const char* zone) {
    ::setenv("TZ", zone, 1);
    ::tzset();
  }

 private:
  std::optional<std::string> before_;
};

TEST(ParseTimestamp, ReadsEveryWayToWriteTheSameMoment) {
  for (const char* text :
       {"2026-11-21 12:00:00Z", "2026-11-21T12:00:00Z", "2026-11-21 12:00:00 UTC",
        "2026-11-21 12:00:00UTC", "2026-11-21 12:00:00+00", "2026-11-21 12:00:00 +00",
        "2026-11-21T12:00:00+0000", "2026-11-21 12:00:00+00:00", "2026-11-21 12:00:00-00:00",
        "2026-11-21 13:00:00+01", "2026-11-21T13:00:00+01:00", "2026-11-21 17:30:00+0530",
        "2026-11-21 03:30:00-08:30", "2026-11-22 02:00:00+14", "2026-11-21 00:00:00-12",
        "2026-11-21 12:00:00.000000Z"}) {
    EXPECT_EQ(parse_timestamp(text), noon) << text;
  }
}

TEST(ParseTimestamp, TakesSecondsThatAreLeftOutForZero) {
  EXPECT_EQ(parse_timestamp("2026-11-21 12:00Z"), noon);
  EXPECT_EQ(parse_timestamp("2026-11-21T13:00+01"), noon);
}

TEST(ParseTimestamp, CrossesTheYearWithTheOffset) {
  EXPECT_EQ(parse_timestamp("2027-01-01 00:30:00+01"), sys_days{2026y / 12 / 31} + 23h + 30min);
}

TEST(ParseTimestamp, ReadsFractionsDownToTheMicrosecond) {
  EXPECT_EQ(parse_timestamp("2026-11-21 12:00:00.5Z"), noon + 500ms);
  EXPECT_EQ(parse_timestamp("2026-11-21 12:00:00.05+00"), noon + 50ms);
  EXPECT_EQ(parse_timestamp("2026-11-21 12:00:00.000001Z"), noon + 1us);
  EXPECT_EQ(parse_timestamp("2026-11-21 12:00:00.999999Z"), noon + 999999us);
}

TEST(ParseTimestamp, KnowsLeapYears) {
  EXPECT_EQ(parse_timestamp("2028-02-29 00:00:00Z"), sys_days{2028y / 2 / 29});
  expect_error(ErrorKind::usage, [] { (void)parse_timestamp("2026-02-29 00:00:00Z"); });
  expect_error(ErrorKind::usage, [] { (void)parse_timestamp("2100-02-29 00:00:00Z"); });
}

TEST(ParseTimestamp, RefusesWhatIsNoTime) {
  for (const char* text : {"",
                           "now",
                           "yesterday",
                           "2026",
                           "2026-11-21",
                           "2026-11-21Z",
                           "2026-11-21 ",
                           "12:00:00Z",
                           "2026-11-21 12Z",
                           "2026-11-21 12:Z",
                           "2026-11-21 12:00:Z",
                           "2026-11-21 12:00:0Z",
                           "26-11-21 12:00:00Z",
                           "2026-1-21 12:00:00Z",
                           "2026/11/21 12:00:00Z",
                           "2026-11-21_12:00:00Z",
                           "21.11.2026 12:00:00Z",
                           "2026-00-21 12:00:00Z",
                           "2026-13-21 12:00:00Z",
                           "2026-11-00 12:00:00Z",
                           "2026-11-31 12:00:00Z",
                           "2026-11-21 24:00:00Z",
                           "2026-11-21 12:60:00Z",
                           "2026-11-21 12:00:60Z",
                           "-2026-11-21 12:00:00Z",
                           " 2026-11-21 12:00:00Z",
                           "2026-11-21 12:00:00Z ",
                           "2026-11-21 12:00:00Zulu",
                           "2026-11-21 12:00:00ZZ"}) {
    SCOPED_TRACE(text);
    expect_error(ErrorKind::usage, [&] { (void)parse_timestamp(text); });
  }
}

TEST(ParseTimestamp, RefusesTheTwelveHourClock) {
  for (const char* text : {"2026-11-21 12:30 PM", "2026-11-21 12:30:00 PM",
                           "2026-11-21 12:30:00 AM", "2026-11-21 01:30:00 pm"}) {
    const auto error = expect_error(ErrorKind::usage, [&] { (void)parse_timestamp(text); });
    EXPECT_THAT(error.hint(), HasSubstr("24-hour"));
  }
}

TEST(ParseTimestamp, RefusesMalformedFractions) {
  // A seventh digit could only be dropped, and that is another moment.
  for (const char* text :
       {"2026-11-21 12:00:00.Z", "2026-11-21 12:00:00.", "2026-11-21 12:00.5Z",
        "2026-11-21 12:00:00,5Z", "2026-11-21 12:00:00.-5Z", "2026-11-21 12:00:00.1234567Z"}) {
    SCOPED_TRACE(text);
    expect_error(ErrorKind::usage, [&] { (void)parse_timestamp(text); });
  }
}

TEST(ParseTimestamp, RefusesMalformedZones) {
  for (const char* zone : {"+", "-", "+1", "+1:00", "+01:", "+01:0", "+010", "+01:60", "+01:00:00",
                           "+99", "+01 00", "++01", "01:00", "CET", "Europe/Berlin", "+01Z"}) {
    SCOPED_TRACE(zone);
    expect_error(ErrorKind::usage,
                 [&] { (void)parse_timestamp(std::string("2026-11-21 12:00:00") + zone); });
  }
}

TEST_F(LocalTime, IsOneOfTwoReadingsOfATimeWithoutAZone) {
  const auto winter =
      expect_error(ErrorKind::usage, [] { (void)parse_timestamp("2026-11-21 12:00:00"); });
  EXPECT_THAT(winter.message(), HasSubstr("has no zone"));
  EXPECT_THAT(winter.hint(), HasSubstr("'2026-11-21 12:00:00+01:00'"));
  EXPECT_THAT(winter.hint(), HasSubstr("'2026-11-21 12:00:00+00'"));

  const auto summer =
      expect_error(ErrorKind::usage, [] { (void)parse_timestamp("2026-07-01 12:00:00"); });
  EXPECT_THAT(summer.hint(), HasSubstr("'2026-07-01 12:00:00+02:00'"));
}

TEST_F(LocalTime, KeepsTheFractionInBothReadings) {
  const auto error =
      expect_error(ErrorKind::usage, [] { (void)parse_timestamp("2026-11-21 12:00:00.25"); });
  EXPECT_THAT(error.hint(), HasSubstr("'2026-11-21 12:00:00.25+01:00'"));
  EXPECT_THAT(error.hint(), HasSubstr("'2026-11-21 12:00:00.25+00'"));
}

TEST_F(LocalTime, DoesNotChangeHowATimeWithAZoneIsRead) {
  EXPECT_EQ(parse_timestamp("2026-11-21 12:00:00Z"), noon);
}

TEST_F(LocalTime, IsShownWithItsOffset) {
  EXPECT_EQ(to_local_text(noon), "2026-11-21 13:00:00+01:00");
  EXPECT_EQ(to_local_text(sys_days{2026y / 7 / 1} + 12h), "2026-07-01 14:00:00+02:00");
  set("NST3:30");
  EXPECT_EQ(to_local_text(noon), "2026-11-21 08:30:00-03:30");
}

TEST_F(LocalTime, ReadsBackAsTheSameMoment) {
  EXPECT_EQ(parse_timestamp(to_local_text(noon)), noon);
}

TEST(Rfc3339, HasMicrosecondsAndEndsInZ) {
  EXPECT_EQ(to_rfc3339(noon), "2026-11-21T12:00:00.000000Z");
  EXPECT_EQ(to_rfc3339(noon + 42us), "2026-11-21T12:00:00.000042Z");
  EXPECT_EQ(to_rfc3339(Timestamp{}), "1970-01-01T00:00:00.000000Z");
}

TEST(Rfc3339, CountsMicrosecondsForwardsBefore1970Too) {
  EXPECT_EQ(to_rfc3339(Timestamp{-1us}), "1969-12-31T23:59:59.999999Z");
}

TEST(Rfc3339, ReadsBackAsTheSameMicrosecond) {
  for (const auto time : {Timestamp{}, Timestamp{-1us}, noon, noon + 1us, noon + 999999us,
                          noon - 999999us, Timestamp{sys_days{2000y / 2 / 29}}}) {
    EXPECT_EQ(parse_timestamp(to_rfc3339(time)), time) << to_rfc3339(time);
  }
}

TEST(SystemRandomness, GivesAnotherIdEachTime) {
  EXPECT_NE(system_randomness().id(), system_randomness().id());
}

}  // namespace
}  // namespace walvault
