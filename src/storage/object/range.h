// A part of an object: how it is asked for, and whether an answer is just that.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "storage/http/http_client.h"
#include "storage/storage.h"

namespace walvault {

// No object of a repository is larger.
inline constexpr std::uint64_t object_bytes_max = 2ull << 30;

// Whether that is all of an object, for which no range is asked.
[[nodiscard]] bool is_whole_object(ByteRange range);

// "bytes=5-9"; "bytes=5-" where it is as good as open. REQUIRES: it is not of no bytes.
[[nodiscard]] std::string range_header(ByteRange range);
// The bytes that its answer should have; 0: that is not known.
[[nodiscard]] std::uint64_t expected_bytes(ByteRange range);

// Whether a 206 is just what was asked for.
[[nodiscard]] bool is_the_range(const HttpResponse& response, ByteRange asked);

// Whether all of a 200 came: libcurl holds a body against its announced length or its chunks, and
// one without either just ends.
[[nodiscard]] bool has_an_end(const HttpResponse& response);

// What a 200 or 206 says of the size of the whole object.
[[nodiscard]] std::uint64_t object_size(const HttpResponse& response);

// The part that was asked for, of a 200 or 206.
[[nodiscard]] Bytes take_range(HttpResponse response, ByteRange range);

}  // namespace walvault
