#include "repository/object_codec.h"

#include <algorithm>
#include <string>

#include "base/error.h"

namespace walvault {
namespace {

constexpr std::string_view magic = "WALVAULT";

Error damaged(std::string_view key, std::string detail) {
  return {ErrorKind::corrupt, "the object " + std::string(key) + " is damaged", std::move(detail),
          "Restore it from a copy of the repository."};
}

}  // namespace

void ObjectCodec::begin(ByteWriter& out, ObjectKind kind) const {
  out.raw(as_bytes(magic));
  out.u8(static_cast<std::uint8_t>(kind));
  out.u8(envelope_version);
  out.u16(0);                              // flags that a reader must know
  out.u32(0);                              // key epoch: 0 is clear text
  for (int i = 0; i < 16; ++i) out.u8(0);  // salt
}

void ObjectCodec::expect(ByteReader& in, ObjectKind kind, std::string_view key) const {
  if (as_text(in.raw(magic.size())) != magic) throw damaged(key, "Its first bytes are wrong.");
  if (in.u8() != static_cast<std::uint8_t>(kind)) throw damaged(key, "It is of another kind.");
  const auto version = in.u8();
  const auto flags = in.u16();
  const auto key_epoch = in.u32();
  (void)in.raw(16);
  if (version != envelope_version || flags != 0 || key_epoch != 0) {
    throw Error(ErrorKind::conflict,
                "the object " + std::string(key) + " needs a newer version of walvault",
                "Version " + std::to_string(version) + ", flags " + std::to_string(flags) +
                    ", key epoch " + std::to_string(key_epoch) + ".",
                "Use the version of walvault that wrote it, or a later one.");
  }
}

bool is_of_kind(ByteView object, ObjectKind kind) {
  return object.size() > magic.size() && as_text(object.first(magic.size())) == magic &&
         object[magic.size()] == static_cast<std::uint8_t>(kind);
}

Digest digest_at_key(std::string_view key, ByteView part) {
  static constexpr std::uint8_t separator = 0;
  Sha256 digest;
  digest.update(as_bytes(key));
  digest.update({&separator, 1});
  digest.update(part);
  return digest.finish();
}

Bytes ObjectCodec::seal(ObjectKind kind, std::string_view key, ByteView payload) const {
  ByteWriter out;
  begin(out, kind);
  out.u64(payload.size());
  out.raw(payload);
  out.raw(digest_at_key(key, out.bytes()).view());
  return out.take();
}

Bytes ObjectCodec::unseal(ObjectKind kind, std::string_view key, ByteView object) const {
  return read_enveloped(object, key, [&](ByteView bytes) {
    const auto what = "the object " + std::string(key);
    ByteReader in(bytes, what);
    expect(in, kind, key);
    const auto payload = in.raw(in.u64());
    const auto signed_bytes = bytes.first(in.position());
    const auto digest = Digest::read(in);
    in.expect_end();
    if (digest != digest_at_key(key, signed_bytes)) throw damaged(key, "Its digest does not fit.");
    return Bytes(payload.begin(), payload.end());
  });
}

Bytes ObjectCodec::with_own_envelope(ByteView object) {
  Bytes mended(object.begin(), object.end());
  ByteWriter own;
  ObjectCodec().begin(own, ObjectKind::format);
  const auto from = magic.size() + 1;  // behind the kind
  for (auto at = from; at < std::min(envelope_bytes, mended.size()); ++at) {
    mended[at] = own.bytes()[at];
  }
  return mended;
}

Error ObjectCodec::damaged_envelope(std::string_view key) {
  return damaged(key, "The version, flags or key epoch at its beginning are not as written.");
}

}  // namespace walvault
