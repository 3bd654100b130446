#include "catalog/records/verified.h"

#include <algorithm>
#include <tuple>

#include "base/error.h"
#include "repository/object_table.h"

namespace walvault {
namespace {

constexpr std::uint8_t flag_partial = 1;
constexpr std::uint8_t flag_damage = 2;

void write_times(ByteWriter& out, const VerifyTimes& times) {
  out.time(times.stored);
  out.time(times.deep);
  out.time(times.damaged);
}

VerifyTimes read_times(ByteReader& in) {
  VerifyTimes times;
  times.stored = in.time();
  times.deep = in.time();
  times.damaged = in.time();
  return times;
}

VerifyTier tier_from_disk(std::uint8_t value) {
  if (value < 1 || value > static_cast<std::uint8_t>(VerifyTier::deep)) {
    throw Error(ErrorKind::corrupt, "a record of verification is damaged",
                "It names a tier that does not exist.");
  }
  return static_cast<VerifyTier>(value);
}

}  // namespace

std::string_view tier_name(VerifyTier tier) {
  switch (tier) {
    case VerifyTier::present: return "present";
    case VerifyTier::stored: return "stored";
    case VerifyTier::deep: return "deep";
  }
  return "";
}

bool VerifyTimes::is_right_since(VerifyTier tier, Timestamp since) const {
  const auto right = tier == VerifyTier::deep ? deep : stored;
  return right != Timestamp{} && right >= since && right > damaged;
}

void VerifyTimes::note(VerifyTier tier, Timestamp when) {
  if (tier >= VerifyTier::stored) stored = std::max(stored, when);
  if (tier >= VerifyTier::deep) deep = std::max(deep, when);
}

void VerifyTimes::merge(const VerifyTimes& other) {
  stored = std::max(stored, other.stored);
  deep = std::max(deep, other.deep);
  damaged = std::max(damaged, other.damaged);
}

template <typename Change>
void VerifiedNumbers::change(std::uint64_t first, std::uint64_t behind, Change&& change) {
  if (first >= behind) return;
  steps_.emplace(first, of(first));
  steps_.emplace(behind, of(behind));
  for (auto it = steps_.find(first); it->first < behind; ++it) change(it->second);
  // Neighbours that have become equal are one stretch.
  auto it = steps_.find(first);
  if (it != steps_.begin()) --it;
  while (std::next(it) != steps_.end() && it->first <= behind) {
    if (std::next(it)->second == it->second) {
      steps_.erase(std::next(it));
    } else {
      ++it;
    }
  }
}

void VerifiedNumbers::note(std::uint64_t first, std::uint64_t behind, const VerifyTimes& times) {
  change(first, behind, [&](VerifyTimes& each) { each.merge(times); });
}

void VerifiedNumbers::forget(std::uint64_t first, std::uint64_t behind) {
  change(first, behind, [](VerifyTimes& each) { each = {}; });
}

VerifyTimes VerifiedNumbers::of(std::uint64_t number) const {
  const auto it = steps_.upper_bound(number);
  return it == steps_.begin() ? VerifyTimes{} : std::prev(it)->second;
}

std::vector<VerifiedNumbers::Stretch> VerifiedNumbers::stretches() const {
  std::vector<Stretch> found;
  for (auto it = steps_.begin(); it != steps_.end(); ++it) {
    if (it->second == VerifyTimes{} || std::next(it) == steps_.end()) continue;
    found.push_back({.first = it->first, .behind = std::next(it)->first, .times = it->second});
  }
  return found;
}

void VerifiedRecord::note_run(const VerifyRun& run) {
  const auto extent = [](const VerifyRun& each) {
    return std::tuple(each.cluster, each.tier, each.partial);
  };
  const auto it = std::ranges::find_if(
      runs, [&](const VerifyRun& each) { return extent(each) == extent(run); });
  if (it == runs.end()) {
    runs.push_back(run);
  } else if (it->finished < run.finished) {
    *it = run;
  }
}

void VerifiedRecord::merge(const VerifiedRecord& other) {
  for (const auto& run : other.runs) note_run(run);
  for (const auto& [name, times] : other.packs) packs[name].merge(times);
  for (const auto& [prefix, numbers] : other.segments) {
    for (const auto& stretch : numbers.stretches()) {
      segments[prefix].note(stretch.first, stretch.behind, stretch.times);
    }
  }
  for (const auto& [key, times] : other.trees) trees[key].merge(times);
}

Bytes encode_verified(const VerifiedRecord& record) {
  ByteWriter out;
  out.varint(record.runs.size());
  for (const auto& run : record.runs) {
    out.string(run.cluster);
    out.u8(static_cast<std::uint8_t>(run.tier));
    out.u8(static_cast<std::uint8_t>((run.partial ? flag_partial : 0) |
                                     (run.whole ? 0 : flag_damage)));
    out.time(run.started);
    out.time(run.finished);
    out.varint(run.damaged);
  }
  out.varint(record.packs.size());
  for (const auto& [name, times] : record.packs) {
    out.raw(name.writer.bytes);
    out.raw(name.digest.view());
    write_times(out, times);
  }
  out.varint(record.segments.size());
  for (const auto& [prefix, numbers] : record.segments) {
    const auto stretches = numbers.stretches();
    out.string(prefix);
    out.varint(stretches.size());
    for (const auto& stretch : stretches) {
      out.varint(stretch.first);
      out.varint(stretch.behind - stretch.first);
      write_times(out, stretch.times);
    }
  }
  out.varint(record.trees.size());
  for (const auto& [key, times] : record.trees) {
    out.string(key);
    write_times(out, times);
  }
  return out.take();
}

VerifiedRecord decode_verified(ByteView payload) {
  ByteReader in(payload, "a record of verification");
  VerifiedRecord record;
  record.runs.resize(in.count(20));
  for (auto& run : record.runs) {
    run.cluster = in.string();
    run.tier = tier_from_disk(in.u8());
    const auto flags = in.u8();
    run.partial = (flags & flag_partial) != 0;
    run.whole = (flags & flag_damage) == 0;
    run.started = in.time();
    run.finished = in.time();
    run.damaged = in.varint();
  }
  for (auto left = in.count(72); left > 0; --left) {
    PackName name;
    std::ranges::copy(in.raw(name.writer.bytes.size()), name.writer.bytes.begin());
    name.digest = Digest::read(in);
    record.packs[name] = read_times(in);
  }
  for (auto prefixes = in.count(2); prefixes > 0; --prefixes) {
    auto& numbers = record.segments[in.string()];
    for (auto left = in.count(26); left > 0; --left) {
      const auto first = in.varint();
      const auto length = in.varint();
      numbers.note(first, first + length, read_times(in));
    }
  }
  for (auto left = in.count(25); left > 0; --left) {
    const auto key = in.string();
    record.trees[key] = read_times(in);
  }
  in.expect_end();
  return record;
}

StoredVerified load_verified(const Repository& repository) {
  StoredVerified stored;
  repository.storage().list(prefix_of(ObjectPlace::verified),
                            [&](const ObjectInfo& object) { stored.keys.push_back(object.key); });
  for (const auto& key : stored.keys) {
    try {
      // Gone since it was listed: another run has taken it over.
      if (const auto payload = repository.find_sealed(ObjectKind::verified, key)) {
        stored.record.merge(decode_verified(*payload));
      }
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::corrupt && error.kind() != ErrorKind::conflict) throw;
    }
  }
  return stored;
}

std::string put_verified(const Repository& repository, const RandomId& run, std::uint32_t number,
                         const VerifiedRecord& record) {
  auto key = std::string(prefix_of(ObjectPlace::verified));
  key.append(to_hex(run)).append("-").append(std::to_string(number));
  (void)repository.put_sealed(ObjectKind::verified, key, encode_verified(record));
  return key;
}

}  // namespace walvault
