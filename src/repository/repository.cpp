#include "repository/repository.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "base/error.h"
#include "repository/object_table.h"
#include "repository/pack.h"

namespace walvault {
namespace {

constexpr std::uint16_t format_version = 1;
constexpr std::uint8_t digest_sha256 = 1;
constexpr int announce_tries_max = 10;
constexpr auto known_reader_features = static_cast<std::uint64_t>(Feature::delta_frames);

struct Format {
  std::uint16_t version = format_version;
  RandomId id = {};
  Timestamp made = {};
  std::uint32_t chunk_size = chunk_bytes;
  std::uint8_t digest = digest_sha256;
  // What a reader, a writer and gc must know.
  std::uint64_t reader_features = 0;
  std::uint64_t writer_features = 0;
  std::uint64_t gc_features = 0;
  // What a later version has to say besides.
  Bytes rest = {};
};

Bytes encode_format(const Format& format) {
  ByteWriter out;
  out.u16(format.version);
  out.raw(format.id);
  out.time(format.made);
  out.u32(format.chunk_size);
  out.u8(format.digest);
  out.u64(format.reader_features);
  out.u64(format.writer_features);
  out.u64(format.gc_features);
  out.raw(format.rest);
  return out.take();
}

Format decode_format(ByteView payload) {
  ByteReader in(payload, "the repository's format object");
  Format format;
  format.version = in.u16();
  std::ranges::copy(in.raw(format.id.size()), format.id.begin());
  format.made = in.time();
  format.chunk_size = in.u32();
  format.digest = in.u8();
  format.reader_features = in.u64();
  format.writer_features = in.u64();
  format.gc_features = in.u64();
  const auto rest = in.raw(in.left());
  format.rest.assign(rest.begin(), rest.end());
  return format;
}

// What gc must know concerns gc alone. Every program here may write, so a writer's
// features are demanded of all.
void expect_known(const Format& format, const std::string& url) {
  if (format.version == format_version && format.chunk_size == chunk_bytes &&
      format.digest == digest_sha256 && (format.reader_features & ~known_reader_features) == 0 &&
      format.writer_features == 0) {
    return;
  }
  throw Error(
      ErrorKind::conflict, "the repository at " + url + " needs a newer version of walvault",
      "Its format version is " + std::to_string(format.version) + ", chunks have " +
          std::to_string(format.chunk_size) + " bytes, digest " + std::to_string(format.digest) +
          ", features " + std::to_string(format.reader_features) + "/" +
          std::to_string(format.writer_features) + ".",
      "Use the version of walvault that made it, or a later one.");
}

std::optional<std::uint32_t> highest_number(const std::vector<std::string>& names) {
  std::optional<std::uint32_t> highest;
  for (const auto& name : names) {
    std::uint32_t number = 0;
    const auto* const end = name.data() + name.size();
    const auto [stop, failure] = std::from_chars(name.data(), end, number);
    if (failure == std::errc{} && stop == end) highest = std::max(highest.value_or(0), number);
  }
  return highest;
}

}  // namespace

bool holds_repository(Storage& storage) {
  struct Found {};
  const auto names = storage.list_names("");
  return std::ranges::any_of(object_table(), [&](const ObjectPlaceInfo& info) {
    const auto name = info.prefix.substr(0, info.prefix.size() - 1);
    if (std::ranges::find(names, name) == names.end()) return false;
    // A directory may be empty.
    try {
      storage.list(info.prefix, [](const ObjectInfo&) { throw Found(); });
    } catch (const Found&) {
      return true;
    }
    return false;
  });
}

void Repository::create(Storage& storage, Clock& clock, Randomness& randomness) {
  const auto already = [&] {
    return Error(ErrorKind::conflict, "there is a repository at " + storage.url() + " already", {},
                 "Use it as it is, or choose another place.");
  };
  if (holds_repository(storage)) throw already();
  const auto key = std::string(prefix_of(ObjectPlace::format)) + "1";
  const auto object = ObjectCodec().seal(
      ObjectKind::format, key, encode_format({.id = randomness.id(), .made = clock.now()}));
  if (storage.put_if_absent(key, object)) return;
  // Our own, its answer lost, or another's.
  const auto there = storage.find(key);
  if (!there || *there != object) throw already();
}

Repository Repository::open(Storage& storage, Clock& clock) {
  const Repository unidentified(storage, clock, {}, 0);
  const auto latest = unidentified.latest_in_series(ObjectKind::format,
                                                    std::string(prefix_of(ObjectPlace::format)));
  if (!latest && holds_repository(storage)) {
    throw Error(ErrorKind::corrupt,
                "the repository at " + storage.url() + " has lost its format object",
                "Other objects of a repository are there, and nothing below format/.",
                "walvault repair --repo " + storage.url() + " makes it again.");
  }
  if (!latest) {
    throw Error(ErrorKind::not_found, "there is no repository at " + storage.url(),
                "It holds no format object.",
                "Create one with: walvault init --repo " + storage.url());
  }
  const auto format = decode_format(latest->second);
  expect_known(format, storage.url());
  return {storage, clock, format.id, format.gc_features};
}

void Repository::announce(Feature feature) const {
  const std::string prefix(prefix_of(ObjectPlace::format));
  // A race is lost to one who announces something: a few times at most.
  for (int tries = 0; tries < announce_tries_max; ++tries) {
    const auto latest = latest_in_series(ObjectKind::format, prefix);
    if (!latest) break;
    auto format = decode_format(latest->second);
    expect_known(format, storage_->url());
    const auto bit = static_cast<std::uint64_t>(feature);
    if ((format.reader_features & bit) != 0) return;
    format.reader_features |= bit;
    if (put_sealed(ObjectKind::format, prefix + std::to_string(latest->first + 1),
                   encode_format(format))) {
      return;
    }
  }
  throw Error(ErrorKind::unavailable, "the format of the repository cannot be recorded",
              "Others change it, or it is gone.", "Try again.");
}

bool Repository::has(Feature feature) const {
  const auto latest =
      latest_in_series(ObjectKind::format, std::string(prefix_of(ObjectPlace::format)));
  return latest &&
         (decode_format(latest->second).reader_features & static_cast<std::uint64_t>(feature)) != 0;
}

void Repository::expect_deletable() const {
  if (gc_features_ == 0) return;
  throw Error(ErrorKind::conflict,
              "the repository at " + storage_->url() + " needs a newer version of walvault",
              "It may hold what this version does not know to be needed (features " +
                  std::to_string(gc_features_) + "). Nothing was deleted.",
              "Delete with the version of walvault that wrote it last, or a later one.");
}

std::vector<FormatRepair> repair_format(Storage& storage,
                                        const std::optional<std::string>& known_id, Clock& clock,
                                        Randomness& randomness, bool dry_run) {
  if (!holds_repository(storage)) {
    throw Error(ErrorKind::not_found, "there is no repository at " + storage.url(),
                "Nothing of one is there.", "Create one with: walvault init");
  }
  const ObjectCodec codec;
  const std::string prefix(prefix_of(ObjectPlace::format));
  const auto decoded = [&](const std::string& key, ByteView object) -> std::optional<Format> {
    try {
      return decode_format(codec.unseal(ObjectKind::format, key, object));
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::corrupt) throw;
      return std::nullopt;
    }
  };
  std::set<std::uint32_t> numbers;
  for (const auto& name : storage.list_names(prefix)) {
    if (const auto number = highest_number({name})) numbers.insert(*number);
  }
  if (numbers.empty()) numbers.insert(1);
  std::vector<FormatRepair> repairs;
  std::optional<RandomId> id;
  Format wanted{.made = clock.now(), .reader_features = known_reader_features};
  for (const auto number : numbers) {
    const auto key = prefix + std::to_string(number);
    const auto object = storage.find(key);
    const auto format = object ? decoded(key, *object) : std::nullopt;
    if (!format) {
      repairs.push_back({.key = key, .id = {}});
      continue;
    }
    expect_known(*format, storage.url());
    id = format->id;
    wanted.gc_features |= format->gc_features;
  }
  const bool is_new = !id && !known_id;
  if (!repairs.empty() && !id && known_id) {
    id.emplace();
    if (!from_hex(*known_id, *id)) {
      throw Error(ErrorKind::usage, "\"" + *known_id + "\" is not the id of a repository", {},
                  "It has 32 hexadecimal digits, as walvault info --json shows it.");
    }
  }
  if (!id) id = randomness.id();
  for (auto& repair : repairs) {
    repair.id = to_hex(*id);
    repair.is_new = is_new;
    if (dry_run) continue;
    const auto object = codec.seal(
        ObjectKind::format, repair.key,
        encode_format({.id = *id, .made = clock.now(), .reader_features = known_reader_features}));
    const auto replaced = storage.replace_damaged(
        repair.key, object, [&](ByteView there) { return decoded(repair.key, there).has_value(); });
    if (replaced == Replaced::absent) (void)storage.put_if_absent(repair.key, object);
  }
  return repairs;
}

std::optional<Bytes> Repository::find_sealed(ObjectKind kind, const std::string& key) const {
  const auto object = storage_->find(key);
  if (!object) return std::nullopt;
  return codec_.unseal(kind, key, *object);
}

bool Repository::put_sealed(ObjectKind kind, const std::string& key, ByteView payload) const {
  return storage_->put_if_absent(key, codec_.seal(kind, key, payload));
}

std::optional<std::pair<std::uint32_t, Bytes>> Repository::latest_in_series(
    ObjectKind kind, const std::string& prefix) const {
  const auto number = highest_number(storage_->list_names(prefix));
  if (!number) return std::nullopt;
  auto payload = find_sealed(kind, prefix + std::to_string(*number));
  if (!payload) {
    throw Error(ErrorKind::corrupt, "the object " + prefix + std::to_string(*number) + " is gone",
                "It was listed an instant ago.");
  }
  return std::pair(*number, std::move(*payload));
}

std::vector<Bytes> Repository::all_in_series(ObjectKind kind, const std::string& prefix) const {
  const auto newest = highest_number(storage_->list_names(prefix));
  std::vector<Bytes> payloads;
  for (std::uint32_t number = 1; newest && number <= *newest; ++number) {
    const auto key = prefix + std::to_string(number);
    auto payload = find_sealed(kind, key);
    if (!payload) throw Error(ErrorKind::corrupt, "the object " + key + " is gone");
    payloads.push_back(std::move(*payload));
  }
  return payloads;
}

void Repository::append_to_series(ObjectKind kind, const std::string& prefix,
                                  ByteView payload) const {
  auto number = highest_number(storage_->list_names(prefix)).value_or(0) + 1;
  while (!put_sealed(kind, prefix + std::to_string(number), payload)) ++number;
}

}  // namespace walvault
