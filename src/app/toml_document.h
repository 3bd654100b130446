// A configuration file's text as sections and values, so that nothing else knows the parser.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <variant>

#include "base/bytes.h"
#include "base/error.h"

namespace walvault {

struct TomlValue {
  // monostate: of a kind that no key has (a fraction, a date, a list).
  std::variant<std::monostate, bool, std::int64_t, std::string> value;
  unsigned line = 0;
};

struct TomlSection {
  std::string name;  // "[repository.2]"; of the whole file "the file"
  unsigned line = 0;
  std::map<std::string, TomlValue, std::less<>> values;
  std::map<std::string, TomlSection, std::less<>> sections;
};

// Error{usage} naming the file and the line.
[[nodiscard]] TomlSection parse_toml(ByteView content, const std::string& path);

// Error{usage}: the file is not understood. Without a hint, one that leads to the example file.
[[nodiscard]] Error bad_config(const std::string& path, std::string detail, std::string hint = {});

}  // namespace walvault
