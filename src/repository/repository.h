// A repository as a whole: its format object, its sealed objects, its numbered
// series. Nothing in it is ever overwritten: what must change is a series, of
// which the highest number counts.
//
// Thread safety: all operations may be called from any thread at once.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <utility>

#include "base/clock.h"
#include "base/huge_buffer.h"
#include "repository/object_codec.h"
#include "storage/storage.h"

namespace walvault {

// What a reader must know, where it may occur: bits of the format object.
enum class Feature : std::uint64_t { delta_frames = 1 };

class Repository {
 public:
  // Makes the storage a repository. Error{conflict} when it is one already.
  static void create(Storage& storage, Clock& clock, Randomness& randomness);

  // Error{not_found} when the storage holds no repository, Error{conflict}
  // when a newer version of walvault made it and this one must not touch it.
  // `storage` and `clock` must outlive the repository.
  [[nodiscard]] static Repository open(Storage& storage, Clock& clock = system_clock());

  [[nodiscard]] Storage& storage() const { return *storage_; }
  [[nodiscard]] Clock& clock() const { return *clock_; }
  // How its objects are encoded.
  [[nodiscard]] const ObjectCodec& codec() const { return codec_; }
  // For what is read and written in megabytes.
  [[nodiscard]] const HugeBuffers& buffers() const { return buffers_; }
  [[nodiscard]] std::string id() const { return to_hex(id_); }

  // Sees to it that only programs which know the feature open the repository from
  // here on. Before the first object that has it.
  void announce(Feature feature) const;

  // Whether it was announced by now.
  [[nodiscard]] bool has(Feature feature) const;

  // Error{conflict} when a newer version stored what this one does not know to be
  // needed: for whoever deletes.
  void expect_deletable() const;

  // nullopt: there is no such object. Error{corrupt} when it is damaged.
  [[nodiscard]] std::optional<Bytes> find_sealed(ObjectKind kind, const std::string& key) const;

  // False: the key is taken.
  [[nodiscard]] bool put_sealed(ObjectKind kind, const std::string& key, ByteView payload) const;

  // The highest number of a series under `prefix` ("clusters/main/") and its
  // payload; nullopt for an empty series.
  [[nodiscard]] std::optional<std::pair<std::uint32_t, Bytes>> latest_in_series(
      ObjectKind kind, const std::string& prefix) const;

  // The payloads of a whole series, in its order. Error{corrupt} where one is gone: each number
  // is taken only once the one before is.
  [[nodiscard]] std::vector<Bytes> all_in_series(ObjectKind kind, const std::string& prefix) const;

  // Puts it under the next number that nobody has taken.
  void append_to_series(ObjectKind kind, const std::string& prefix, ByteView payload) const;

 private:
  Repository(Storage& storage, Clock& clock, RandomId id, std::uint64_t gc_features)
      : storage_(&storage), clock_(&clock), id_(id), gc_features_(gc_features) {}

  Storage* storage_;
  Clock* clock_;
  ObjectCodec codec_;
  HugeBuffers buffers_;
  RandomId id_;
  std::uint64_t gc_features_;
};

// What made a format object again that was lost or damaged.
struct FormatRepair {
  std::string key;
  std::string id;       // that the repository has from then on
  bool is_new = false;  // nobody knew the former one
};
// Empty: all are whole. The id is that of one that is whole, else `known_id` (32 hexadecimal
// digits), else a new one. Every feature that this program knows counts as announced. `dry_run`:
// nothing is written. Error{usage} for an id that is none, {not_found} where there is no
// repository, {conflict} where an object is a newer version's.
[[nodiscard]] std::vector<FormatRepair> repair_format(Storage& storage,
                                                      const std::optional<std::string>& known_id,
                                                      Clock& clock, Randomness& randomness,
                                                      bool dry_run);

// Whether the storage holds a repository, damaged or not.
[[nodiscard]] bool holds_repository(Storage& storage);

}  // namespace walvault
