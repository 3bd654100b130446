#include "repository/repository.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "repository/pack.h"

namespace walvault {
namespace {

constexpr std::string_view format_prefix = "format/";
constexpr std::uint16_t format_version = 1;
constexpr std::uint8_t digest_sha256 = 1;

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

bool holds_repository(Storage& storage) { return !storage.list_names(format_prefix).empty(); }

void Repository::create(Storage& storage, Clock& clock, Randomness& randomness) {
  const auto already = [&] {
    return Error(ErrorKind::conflict, "there is a repository at " + storage.url() + " already", {},
                 "Use it as it is, or choose another place.");
  };
  if (holds_repository(storage)) throw already();
  ByteWriter payload;
  payload.u16(format_version);
  payload.raw(randomness.id());
  payload.i64(clock.now().time_since_epoch().count());
  payload.u32(chunk_bytes);
  payload.u8(digest_sha256);
  payload.u64(0);  // features that a reader must know
  payload.u64(0);  // features that a writer must know
  payload.u64(0);  // features that gc must know
  const auto key = std::string(format_prefix) + "1";
  const auto object = seal(ObjectKind::format, key, payload.bytes());
  if (storage.put_if_absent(key, object)) return;
  // Our own, its answer lost, or another's.
  const auto there = storage.find(key);
  if (!there || *there != object) throw already();
}

Repository Repository::open(Storage& storage) {
  const Repository unidentified(storage, {}, 0);
  const auto latest = unidentified.latest_in_series(ObjectKind::format, std::string(format_prefix));
  if (!latest) {
    throw Error(ErrorKind::not_found, "there is no repository at " + storage.url(),
                "It holds no format object.",
                "Create one with: walvault init --repo " + storage.url());
  }
  ByteReader in(latest->second, "the repository's format object");
  const auto version = in.u16();
  RandomId id;
  std::ranges::copy(in.raw(id.size()), id.begin());
  (void)in.i64();  // when it was made
  const auto chunk_size = in.u32();
  const auto digest = in.u8();
  const auto reader_features = in.u64();
  const auto writer_features = in.u64();
  // What gc must know concerns gc alone. Every program here may write, so a
  // writer's features are demanded of all.
  if (version != format_version || chunk_size != chunk_bytes || digest != digest_sha256 ||
      reader_features != 0 || writer_features != 0) {
    throw Error(ErrorKind::conflict,
                "the repository at " + storage.url() + " needs a newer version of walvault",
                "Its format version is " + std::to_string(version) + ", chunks have " +
                    std::to_string(chunk_size) + " bytes, digest " + std::to_string(digest) +
                    ", features " + std::to_string(reader_features) + "/" +
                    std::to_string(writer_features) + ".",
                "Use the version of walvault that made it, or a later one.");
  }
  return {storage, id, in.u64()};
}

void Repository::expect_deletable() const {
  if (gc_features_ == 0) return;
  throw Error(ErrorKind::conflict,
              "the repository at " + storage_->url() + " needs a newer version of walvault",
              "It may hold what this version does not know to be needed (features " +
                  std::to_string(gc_features_) + "). Nothing was deleted.",
              "Delete with the version of walvault that wrote it last, or a later one.");
}

std::optional<Bytes> Repository::find_sealed(ObjectKind kind, const std::string& key) const {
  const auto object = storage_->find(key);
  if (!object) return std::nullopt;
  return unseal(kind, key, *object);
}

bool Repository::put_sealed(ObjectKind kind, const std::string& key, ByteView payload) const {
  return storage_->put_if_absent(key, seal(kind, key, payload));
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

}  // namespace walvault
