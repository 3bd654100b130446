// The door through which the bytes of all objects go in and out: the envelope that each of them
// starts with, and the sealing of the small ones whose whole content is one payload.
// docs/repository-format.md, "Envelope".
#pragma once

#include <cstdint>
#include <string_view>

#include "base/bytes.h"
#include "base/error.h"
#include "codec/sha256.h"

namespace walvault {

// Stored on disk; never reused.
enum class ObjectKind : std::uint8_t {
  format = 1,
  pack = 2,
  root = 3,
  pin = 4,
  plan = 5,
  tombstone = 6,
  cluster = 16,
  wal = 17,
  branch = 18,
  ledger = 19,
  accepted_gap = 20,
  catalogue = 21,
  keep = 22,
  deleted = 23,
  wal_expiry = 24,
  damaged_pack = 25,
  verified = 26,
  left_timeline = 27,
  root_copy = 28,
};

inline constexpr std::size_t envelope_bytes = 32;
inline constexpr std::uint8_t envelope_version = 1;

// How a repository's objects are encoded. Each has one (Repository::codec); it is all that stands
// between an object's content and its stored bytes, so that what a key changes is changed here
// and nowhere else. Thread-safe.
class ObjectCodec {
 public:
  // The 32 bytes that every object starts with.
  void begin(ByteWriter& out, ObjectKind kind) const;

  // Reads them; checks magic, kind, version and flags. Error{corrupt} for a wrong magic or
  // kind; Error{conflict} for an object of a newer version or an encrypted one.
  void expect(ByteReader& in, ObjectKind kind, std::string_view key) const;

  // What `read` makes of an object whose digest covers the envelope. `read` throws Error{conflict}
  // where the envelope asks for a newer program. If the digest fits once the envelope is this
  // program's, it was a flipped bit that asked: Error{corrupt}.
  template <typename Read>
  [[nodiscard]] auto read_enveloped(ByteView object, std::string_view key, Read&& read) const {
    try {
      return read(object);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::conflict) throw;
      const auto mended = with_own_envelope(object);
      try {
        (void)read(mended);
      } catch (const Error&) {
        throw error;
      }
      throw damaged_envelope(key);
    }
  }

  // A whole object: envelope, payload, digest.
  [[nodiscard]] Bytes seal(ObjectKind kind, std::string_view key, ByteView payload) const;

  // The payload of a sealed object; Error{corrupt} naming the key.
  [[nodiscard]] Bytes unseal(ObjectKind kind, std::string_view key, ByteView object) const;

 private:
  // A copy whose version, flags and key epoch are those that begin() writes.
  [[nodiscard]] static Bytes with_own_envelope(ByteView object);
  [[nodiscard]] static Error damaged_envelope(std::string_view key);
};

// Whether an object, or its first bytes, has the envelope of this kind.
[[nodiscard]] bool is_of_kind(ByteView object, ObjectKind kind);

// A digest over the key and then the parts: it holds an object to its place,
// so that two objects that changed places are noticed.
[[nodiscard]] Digest digest_at_key(std::string_view key, ByteView part);

}  // namespace walvault
