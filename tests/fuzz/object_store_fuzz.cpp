// Arbitrary bytes as what an object store answers.
#include <cstddef>
#include <cstdint>

#include "base/error.h"
#include "storage/s3/answers.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace walvault;
  const ByteView bytes(data, size);
  (void)parse_error_answer(bytes);
  const auto expect_answer = [](const auto& parse) {
    try {
      (void)parse();
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::unavailable) __builtin_trap();
    }
  };
  expect_answer([&] { return parse_listing(bytes); });
  expect_answer([&] { return parse_delete_answer(bytes); });
  return 0;
}
