// The table of keys itself; config_keys.h is what others see of it.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "app/config_keys.h"
#include "app/toml_document.h"
#include "base/format.h"

namespace walvault {

// The value of one key, and where it stands.
class KeyReader {
 public:
  KeyReader(const std::string& path, const TomlSection& section, std::string_view key,
            const TomlValue& value)
      : path_(path), section_(section), key_(key), value_(value) {}

  [[nodiscard]] const std::string& path() const { return path_; }

  // "[repository] url"
  [[nodiscard]] std::string where() const { return section_.name + " " + std::string(key_); }

  [[nodiscard]] std::string text() const {
    const auto* const text = std::get_if<std::string>(&value_.value);
    if (text == nullptr) throw refused("wants a text in quotes.");
    return *text;
  }
  [[nodiscard]] bool flag() const {
    const auto* const flag = std::get_if<bool>(&value_.value);
    if (flag == nullptr) throw refused("wants true or false.");
    return *flag;
  }
  [[nodiscard]] unsigned number(std::int64_t least, std::int64_t most) const {
    const auto* const number = std::get_if<std::int64_t>(&value_.value);
    if (number == nullptr || *number < least || *number > most) {
      throw refused("wants a number from " + std::to_string(least) + " to " + std::to_string(most) +
                    ".");
    }
    return static_cast<unsigned>(*number);
  }
  [[nodiscard]] std::chrono::milliseconds duration() const {
    return parse_duration(text(), where());
  }
  [[nodiscard]] std::string choice(const std::vector<std::string>& choices) const try {
    return parse_choice(text(), where(), choices);
  } catch (const Error& error) {
    throw refused("is \"" + text() + "\". " + error.detail());
  }
  [[nodiscard]] CompressionSetting compression() const {
    return parse_compression(text(), where());
  }

  [[nodiscard]] Error refused(const std::string& why) const {
    return bad_config(path_, "Line " + std::to_string(value_.line) + ": \"" + std::string(key_) +
                                 "\" in " + section_.name + " " + why);
  }

 private:
  const std::string& path_;
  const TomlSection& section_;
  const std::string_view key_;
  const TomlValue& value_;
};

template <typename Target>
struct Key {
  ConfigKeyText text;
  void (*read)(Target&, const KeyReader&);
};

template <typename Target>
using Keys = std::span<const Key<Target>>;

// Of every place of a repository: [repository] and [repository.N].
[[nodiscard]] Keys<RepositoryConfig> place_keys();
// Of [repository.N] alone.
[[nodiscard]] Keys<RepositoryConfig> further_keys();
// Of [repository] alone.
[[nodiscard]] Keys<Config> content_keys();
[[nodiscard]] Keys<Config> cache_keys();
[[nodiscard]] Keys<Config> state_keys();
[[nodiscard]] Keys<Config> defaults_keys();
[[nodiscard]] Keys<Config> archive_keys();
[[nodiscard]] Keys<Config> fetch_keys();
[[nodiscard]] Keys<ClusterConfig> cluster_keys();

}  // namespace walvault
