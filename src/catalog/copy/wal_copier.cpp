#include "catalog/copy/wal_copier.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/error.h"
#include "base/ordered_workers.h"
#include "catalog/copy/wal_border.h"
#include "catalog/wal/wal_check.h"
#include "postgres/segment_name.h"

namespace walvault {
namespace {

constexpr std::size_t log_name_bytes = 8;

std::map<std::string, std::uint64_t> sizes_under(Storage& storage, const std::string& prefix) {
  std::map<std::string, std::uint64_t> sizes;
  storage.list(prefix, [&](const ObjectInfo& object) { sizes.emplace(object.key, object.size); });
  return sizes;
}

}  // namespace

WalCopier::WalCopier(const WalArchive& from, const WalArchive& to, WalCopyOptions options,
                     std::function<void(std::uint64_t bytes)> reading)
    : from_(from), to_(to), options_(options), reading_(std::move(reading)) {}

std::string WalCopier::directory_of(TimelineBranch branch) const {
  const auto key = from_.with({branch}).key_of(history_file_name(branch.timeline));
  return key.substr(0, key.rfind('/') + 1);
}

void WalCopier::note(const File& file) {
  ++copied_.fault_count;
  if (copied_.faults.size() < copied_damage_max) {
    copied_.faults.push_back({.key = file.key, .why = file.fault});
  }
}

bool WalCopier::has_same_content(const std::string& key) const {
  const auto here = from_.find_header(key);
  const auto there = to_.find_header(key);
  if (!here || !there || here->digest == there->digest) return true;
  const auto name = std::string_view(key).substr(key.rfind('/') + 1);
  const auto segment = SegmentName::parse(name, from_.identity().geometry);
  return segment && !contradict(from_, to_, *segment);
}

// Two archives of one file need not have the same bytes; an object that was cut short is
// none.
bool WalCopier::is_same(const File& file, std::uint64_t size_there) const {
  if (size_there == file.size) return true;
  return has_same_content(file.key) &&
         find_wal_fault(to_.repository(), file.key, false, reading_).value_or("") == "";
}

void WalCopier::bring_file(File& file) const {
  reading_(file.size);
  const auto object = from_.repository().storage().find(file.key);
  if (!object) return;  // expired meanwhile
  file.fault = find_wal_fault(from_.repository().codec(), *object, file.key);
  if (!file.fault.empty()) return;
  // False: archived there, or brought, meanwhile.
  (void)to_.repository().storage().put_if_absent(file.key, *object);
  file.brought = true;
}

void WalCopier::bring_files(std::vector<File> files,
                            const std::function<void(const File&)>& brought) {
  if (options_.dry_run) {
    for (const auto& file : files) {
      ++copied_.files;
      copied_.bytes += file.size;
      brought(file);
    }
    return;
  }
  if (files.empty()) return;
  OrderedWorkers<File> workers(
      {.threads = options_.jobs, .in_flight_max = options_.jobs},
      [&](File& file, unsigned) { bring_file(file); },
      [&](File& file) {
        if (!file.fault.empty()) note(file);
        if (!file.brought) return;
        ++copied_.files;
        copied_.bytes += file.size;
        brought(file);
      });
  for (auto& file : files) workers.submit(std::move(file));
  workers.finish();
}

void WalCopier::bring_histories() {
  auto& from = from_.repository().storage();
  auto& to = to_.repository().storage();
  std::vector<File> lacking;
  std::vector<std::string> relied_on;
  for (const auto& branch : from_.branches()) {
    const auto directory = directory_of(branch);
    const auto name = history_file_name(branch.timeline);
    const auto key = directory + name;
    const auto size = from.find_size(key);
    if (!size) continue;
    const auto there = to.find_size(key);
    if (!there) {
      lacking.push_back({.key = key, .size = *size});
      continue;
    }
    ++copied_.there;
    relied_on.push_back(key);
    File file{.key = key, .size = *size};
    // Of one length as a rule.
    if (!has_same_content(key)) {
      file.fault = "the destination has another history of this timeline";
      foreign_.insert(branch);
      note(file);
    }
  }
  bring_files(std::move(lacking), [](const File&) {});
  settle(relied_on);
}

// What others put there, who may have died before its name was durable.
void WalCopier::settle(const std::vector<std::string>& keys) {
  if (!options_.dry_run) to_.repository().storage().settle(keys);
}

bool WalCopier::belongs_there(TimelineBranch branch, const std::vector<File>& lacking) {
  std::vector<SegmentName> segments;
  for (const auto& file : lacking) {
    const auto name = std::string_view(file.key).substr(file.key.rfind('/') + 1);
    const auto segment = SegmentName::parse(name, from_.identity().geometry);
    if (segment) segments.push_back(*segment);
  }
  if (segments.empty()) return true;
  const auto conflict = find_border_conflict(from_.view_of(branch), to_.view_of(branch), segments);
  if (!conflict) return true;
  foreign_.insert(branch);
  note({.key = conflict->key, .fault = conflict->why});
  return false;
}

std::uint64_t WalCopier::bring(TimelineBranch branch, std::uint64_t first, std::uint64_t behind) {
  if (foreign_.contains(branch)) return 0;
  const auto geometry = from_.identity().geometry;
  const auto directory = directory_of(branch);
  auto& from = from_.repository().storage();
  std::uint64_t segments = 0;
  bool has_last = false;
  bool has_part_of_last = false;
  std::vector<std::string> relied_on;
  for (const auto& log : from.list_names(directory)) {
    const auto number = parse_hex(log);
    if (log.size() != log_name_bytes || !number || geometry.first_of_log(*number + 1) <= first ||
        geometry.first_of_log(*number) >= behind) {
      continue;
    }
    const auto prefix = directory + log + "/";
    const auto there = sizes_under(to_.repository().storage(), prefix);
    std::vector<File> lacking;
    const auto count = [&](const File& file) {
      const auto name = std::string_view(file.key).substr(prefix.size());
      const bool is_whole = SegmentName::parse(name, geometry).has_value();
      if (is_whole) ++segments;
      const auto segment = SegmentName::parse(name.substr(0, 24), geometry);
      if (segment->number + 1 == behind) (is_whole ? has_last : has_part_of_last) = true;
    };
    for (const auto& [key, size] : sizes_under(from, prefix)) {
      const auto name = std::string_view(key).substr(prefix.size());
      const auto segment = SegmentName::parse(name.substr(0, 24), geometry);
      if (!segment || segment->number < first || segment->number >= behind) continue;
      File file{.key = key, .size = size};
      const auto found = there.find(key);
      if (found == there.end()) {
        lacking.push_back(std::move(file));
        continue;
      }
      ++copied_.there;
      if (is_same(file, found->second)) {
        count(file);
        relied_on.push_back(key);
      } else {
        file.fault = "the destination has other content under this name";
        foreign_.insert(branch);
        note(file);
      }
    }
    if (foreign_.contains(branch) || !belongs_there(branch, lacking)) return segments;
    bring_files(std::move(lacking), count);
  }
  settle(relied_on);
  return segments + (has_part_of_last && !has_last ? 1 : 0);
}

}  // namespace walvault
