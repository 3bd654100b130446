// What was verified and when: a record in the repository, so that a later run need
// not read again what another has read lately. A hint for runs that ask for it, and
// what info shows; nothing else relies on it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/clock.h"
#include "repository/pack.h"
#include "repository/repository.h"

namespace walvault {

// Each includes those before it. Stored on disk.
enum class VerifyTier : std::uint8_t {
  present = 1,  // everything needed is listed, with its size
  stored = 2,   // every stored byte is the one that was written
  deep = 3,     // and decodes to what PostgreSQL wrote
};

[[nodiscard]] std::string_view tier_name(VerifyTier tier);

// A run that came to its end.
struct VerifyRun {
  std::string cluster = {};  // empty: all of the repository
  VerifyTier tier = VerifyTier::stored;
  bool partial = false;  // one backup, a sample, or only what had not been verified lately
  Timestamp started{};
  Timestamp finished{};
  bool whole = true;          // nothing was missing or wrong
  std::uint64_t damaged = 0;  // objects

  bool operator==(const VerifyRun&) const = default;
};

// When something was last found right, by the two tiers that read it, and when it
// was last found damaged. The epoch: never.
struct VerifyTimes {
  Timestamp stored{};
  Timestamp deep{};
  Timestamp damaged{};

  // Whether it was found right by that tier at `since` or later, and not found
  // damaged at that time or later.
  [[nodiscard]] bool is_right_since(VerifyTier tier, Timestamp since) const;
  void note(VerifyTier tier, Timestamp when);
  void merge(const VerifyTimes& other);
  bool operator==(const VerifyTimes&) const = default;
};

// Of numbered things, as stretches of equal times.
class VerifiedNumbers {
 public:
  void note(std::uint64_t first, std::uint64_t behind, const VerifyTimes& times);
  [[nodiscard]] VerifyTimes of(std::uint64_t number) const;
  // As if they had never been noted.
  void forget(std::uint64_t first, std::uint64_t behind);

  struct Stretch {
    std::uint64_t first = 0;
    std::uint64_t behind = 0;
    VerifyTimes times;
  };
  [[nodiscard]] std::vector<Stretch> stretches() const;

 private:
  template <typename Change>
  void change(std::uint64_t first, std::uint64_t behind, Change&& change);

  // Where a stretch begins, up to the next entry; the last one has no times.
  std::map<std::uint64_t, VerifyTimes> steps_;
};

// Not thread-safe.
struct VerifiedRecord {
  std::vector<VerifyRun> runs;  // the last of each cluster, tier and extent
  std::map<PackName, VerifyTimes> packs;
  // Segments, by what the keys of a timeline's branch begin with.
  std::map<std::string, VerifiedNumbers> segments;
  // Backups whose content was read to the end, by their root keys.
  std::map<std::string, VerifyTimes> trees;

  void note_run(const VerifyRun& run);
  void merge(const VerifiedRecord& other);
};

[[nodiscard]] Bytes encode_verified(const VerifiedRecord& record);
// Error{corrupt}.
[[nodiscard]] VerifiedRecord decode_verified(ByteView payload);

// All that is on record, and under which keys. Damaged records count as none.
struct StoredVerified {
  VerifiedRecord record;
  std::vector<std::string> keys;
};
[[nodiscard]] StoredVerified load_verified(const Repository& repository);

// Part `number`, from 1, of what a run adds. Returns its key.
std::string put_verified(const Repository& repository, const RandomId& run, std::uint32_t number,
                         const VerifiedRecord& record);

}  // namespace walvault
