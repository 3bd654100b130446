#include "base/place.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <optional>
#include <sstream>
#include <string_view>

#include "base/error.h"
#include "base/file.h"

namespace walvault {
namespace {

constexpr std::uint64_t mounts_bytes_max = 16u << 20;

std::optional<std::string> find_real_path(const std::string& path) {
  const std::unique_ptr<char, decltype(&::free)> found(::realpath(path.c_str(), nullptr), &::free);
  if (found) return found.get();
  return std::nullopt;
}

bool is_or_lies_in(const std::string& path, const std::string& directory) {
  if (directory == "/" || path == directory) return true;
  return path.size() > directory.size() && path.starts_with(directory) &&
         path[directory.size()] == '/';
}

// "/a/./b//c/../d" as "/a/b/d": of what does not exist, nothing can be a link.
std::string tidied(const std::string& path) {
  std::vector<std::string> parts;
  std::istringstream in(path);
  for (std::string part; std::getline(in, part, '/');) {
    if (part.empty() || part == ".") continue;
    if (part != "..") {
      parts.push_back(part);
    } else if (!parts.empty()) {
      parts.pop_back();
    }
  }
  std::string text;
  for (const auto& part : parts) text += "/" + part;
  return text.empty() ? "/" : text;
}

// Octal escapes of /proc/self/mountinfo: \040 is a blank.
std::string unescaped(const std::string& text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      plain.push_back(static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                                        (text[i + 3] - '0')));
      i += 3;
    } else {
      plain.push_back(text[i]);
    }
  }
  return plain;
}

// File systems whose mounts name the directory that is their root.
bool is_local(const std::string& type) {
  constexpr std::array<std::string_view, 9> types = {"ext2", "ext3",  "ext4", "xfs",     "btrfs",
                                                     "f2fs", "tmpfs", "jfs",  "bcachefs"};
  return std::ranges::find(types, type) != types.end();
}

// The same directory of a file system, however it is mounted, gives the same text.
std::string place_in_file_system(const std::string& real_path) try {
  const auto content = read_file("/proc/self/mountinfo", mounts_bytes_max);
  std::istringstream lines{std::string(as_text(content))};
  std::string found;
  std::size_t longest = 0;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string id;
    std::string parent;
    std::string device;
    std::string root;
    std::string point;
    if (!(fields >> id >> parent >> device >> root >> point)) continue;
    // Behind optional fields of no certain number: "- ext4 ...".
    std::string type;
    while (fields >> type && type != "-") continue;
    fields >> type;
    root = unescaped(root);
    point = unescaped(point);
    // Of two at one point the later one hides the other.
    if (!is_or_lies_in(real_path, point) || point.size() < longest) continue;
    longest = point.size();
    auto rest = point == "/" ? real_path : real_path.substr(point.size());
    if (rest == "/") rest.clear();
    // Of a network file system the root says nothing: two exports may both be "/".
    found.clear();
    if (!is_local(type)) continue;
    found = device;
    found += " ";
    found += root == "/" && !rest.empty() ? rest : root + rest;
  }
  return found;
} catch (const Error&) {
  return {};  // no /proc here
}

}  // namespace

Place::Place(const std::string& path) {
  auto existing = tidied(path);
  // Links first, ".." behind them.
  auto real = find_real_path(path);
  std::string rest;
  while (!real && existing != "/") {
    rest.insert(0, existing.substr(existing.find_last_of('/')));
    existing = parent_directory(existing);
    real = find_real_path(existing);
  }
  if (!real) real = "/";
  real_path_ = rest.empty() ? *real : (*real == "/" ? rest : *real + rest);
  for (auto above = *real;; above = parent_directory(above)) {
    struct stat status {};
    if (::stat(above.c_str(), &status) == 0) {
      exists_ |= above == *real && rest.empty();
      above_.push_back(above);
      ids_.emplace_back(status.st_dev, status.st_ino);
    }
    if (above == "/") break;
  }
  in_file_system_ = place_in_file_system(*real);
  if (!in_file_system_.empty()) {
    if (in_file_system_.ends_with(" /") && !rest.empty()) in_file_system_.pop_back();
    in_file_system_ += rest;
  }
}

bool Place::lies_in(const Place& other) const {
  if (is_or_lies_in(real_path_, other.real_path_)) return true;
  if (other.exists_ && !other.ids_.empty()) {
    for (const auto& id : ids_) {
      if (id == other.ids_.front()) return true;
    }
  }
  if (in_file_system_.empty() || other.in_file_system_.empty()) return false;
  // "8:1 /" holds all of "8:1 /x".
  return is_or_lies_in(in_file_system_, other.in_file_system_) ||
         (other.in_file_system_.ends_with(" /") &&
          in_file_system_.starts_with(other.in_file_system_));
}

Overlap overlap(const Place& first, const Place& second) {
  const bool inside = first.lies_in(second);
  const bool around = second.lies_in(first);
  if (inside && around) return Overlap::same;
  if (inside) return Overlap::inside;
  return around ? Overlap::around : Overlap::none;
}

}  // namespace walvault
