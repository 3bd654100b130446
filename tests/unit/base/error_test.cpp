#include "base/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <set>

#include "support/errors.h"

namespace walvault {
namespace {

constexpr ErrorKind kinds[] = {
    ErrorKind::usage,        ErrorKind::not_found,   ErrorKind::conflict,
    ErrorKind::corrupt,      ErrorKind::unavailable, ErrorKind::unreachable_target,
    ErrorKind::check_failed, ErrorKind::internal,
};

TEST(Error, HasANameAndAnExitCodeOfItsOwnForEachKind) {
  std::set<std::string_view> names;
  std::set<int> codes;
  for (const auto kind : kinds) {
    names.insert(kind_name(kind));
    codes.insert(exit_code(kind));
    // 0 is success, 1 promotes a server silently, above 125 belongs to shells.
    EXPECT_GT(exit_code(kind), 1) << kind_name(kind);
    EXPECT_LT(exit_code(kind), 125) << kind_name(kind);
  }
  EXPECT_EQ(names.size(), std::size(kinds));
  EXPECT_EQ(codes.size(), std::size(kinds));
}

TEST(Error, CarriesMessageDetailAndHint) {
  const Error error(ErrorKind::conflict, "two claim it", "This and that.", "Choose.");
  EXPECT_STREQ(error.what(), "two claim it");
  EXPECT_EQ(error.detail(), "This and that.");
  EXPECT_EQ(error.hint(), "Choose.");
  EXPECT_FALSE(error.is_transient());
}

TEST(SystemError, SaysWhatCouldNotBeDoneAndWhy) {
  const auto error = system_error("open \"/x\"", EACCES);
  EXPECT_EQ(error.kind(), ErrorKind::unavailable);
  EXPECT_EQ(error.message(), "cannot open \"/x\"");
  EXPECT_EQ(error.detail(), "Permission denied.");
  EXPECT_NE(error.hint(), "");
}

TEST(SystemError, IsTransientForWhatASecondTryMayCureAndForNothingElse) {
  for (const int number : {EIO, EAGAIN, EBUSY, ESTALE, ETIMEDOUT}) {
    EXPECT_TRUE(system_error("write", number).is_transient()) << number;
  }
  for (const int number : {ENOSPC, EDQUOT, EACCES, EPERM, EROFS, ENOENT}) {
    EXPECT_FALSE(system_error("write", number).is_transient()) << number;
  }
}

}  // namespace
}  // namespace walvault
