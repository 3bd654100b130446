// What a test expects to be refused.
#pragma once

#include <gtest/gtest.h>

#include <ostream>

#include "base/error.h"

namespace walvault {

inline void PrintTo(ErrorKind kind, std::ostream* out) { *out << kind_name(kind); }

// Runs `action`, which must throw an Error of this kind, and returns that.
template <typename Action>
Error expect_error(ErrorKind kind, Action&& action, const char* file = __builtin_FILE(),
                   int line = __builtin_LINE()) {
  try {
    action();
  } catch (const Error& error) {
    if (error.kind() != kind) {
      ADD_FAILURE_AT(file, line) << "expected " << kind_name(kind) << ", but it is "
                                 << kind_name(error.kind()) << ": " << error.message() << ". "
                                 << error.detail();
    }
    return error;
  }
  ADD_FAILURE_AT(file, line) << "expected " << kind_name(kind) << ", but nothing was thrown";
  return {ErrorKind::internal, "nothing was thrown"};
}

}  // namespace walvault
