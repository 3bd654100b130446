#include "repository/tree.h"

#include <algorithm>

#include "base/error.h"
#include "base/path.h"
#include "repository/object_codec.h"

namespace walvault {
namespace {

constexpr std::size_t path_bytes_max = 4096;
constexpr std::size_t note_bytes_max = 1u << 20;

Error damaged(std::string_view what, std::string detail) {
  return {ErrorKind::corrupt, std::string(what) + " is damaged", std::move(detail)};
}

void write_pack_name(ByteWriter& out, const PackName& name) {
  out.raw(name.writer.bytes);
  out.raw(name.digest.view());
}

PackName read_pack_name(ByteReader& in) {
  PackName name;
  std::ranges::copy(in.raw(name.writer.bytes.size()), name.writer.bytes.begin());
  name.digest = Digest::read(in);
  return name;
}

constexpr std::size_t pack_entry_bytes_min = 16 + 32 + 1;

std::uint32_t narrow(std::uint64_t value) {
  if (value > 0xFFFFFFFFu) throw damaged("a stored reference", "A number is too large.");
  return static_cast<std::uint32_t>(value);
}

std::uint8_t kind_of(const ChunkRef& ref) {
  return ref.zero ? 0 : static_cast<std::uint8_t>(1 + ref.bases.size());
}

// A reference with room for what is to be read.
ChunkRef ref_of_kind(std::uint8_t kind) {
  if (kind > 1 + delta_bases_max) throw damaged("a stored reference", "Its kind is not known.");
  ChunkRef ref;
  ref.zero = kind == 0;
  if (kind > 1) ref.bases.resize(kind - 1u);
  return ref;
}

}  // namespace

std::uint32_t PackTable::add(const PackName& name, std::uint64_t size) {
  const auto [it, is_new] = index_.try_emplace(name, static_cast<std::uint32_t>(entries_.size()));
  if (is_new) entries_.push_back({.name = name, .size = size});
  return it->second;
}

std::uint32_t PackTable::reserve(const WriterId& writer) {
  entries_.push_back({.name = {.writer = writer, .digest = {}}, .size = 0});
  return static_cast<std::uint32_t>(entries_.size() - 1);
}

void PackTable::resolve(std::uint32_t index, const Digest& digest, std::uint64_t size) {
  auto& entry = entries_.at(index);
  entry.name.digest = digest;
  entry.size = size;
  index_.emplace(entry.name, index);
}

std::optional<std::uint32_t> PackTable::find(const PackName& name) const {
  const auto it = index_.find(name);
  if (it == index_.end()) return std::nullopt;
  return it->second;
}

const PackTable::Entry& PackTable::at(std::uint32_t index) const {
  if (index >= entries_.size())
    throw damaged("a stored reference", "It names a pack out of range.");
  return entries_[index];
}

void PackTable::write(ByteWriter& out) const {
  out.varint(entries_.size());
  for (const auto& entry : entries_) {
    write_pack_name(out, entry.name);
    out.varint(entry.size);
  }
}

PackTable PackTable::read(ByteReader& in) {
  PackTable table;
  const auto count = in.count(pack_entry_bytes_min);
  for (std::size_t i = 0; i < count; ++i) {
    const auto name = read_pack_name(in);
    const auto size = in.varint();
    if (table.add(name, size) != i) throw damaged("a pack table", "It names a pack twice.");
  }
  return table;
}

std::vector<FramePlace> ChunkRef::places() const {
  if (zero) return {};
  std::vector<FramePlace> places = {place()};
  places.insert(places.end(), bases.begin(), bases.end());
  return places;
}

// 0: zeros; 1: a chunk itself; n + 1: a DELTA with n bases.
void write_chunk_ref(ByteWriter& out, const ChunkRef& ref) {
  out.u8(kind_of(ref));
  if (ref.zero) return;
  out.raw(ref.id.view());
  for (const auto& place : ref.places()) {
    out.varint(place.pack);
    out.varint(place.frame.offset);
    out.varint(place.frame.length);
    out.varint(place.frame.ordinal);
  }
}

ChunkRef read_chunk_ref(ByteReader& in) {
  auto ref = ref_of_kind(in.u8());
  if (ref.zero) return ref;
  ref.id = ChunkId::read(in);
  const auto read_place = [&] {
    FramePlace place;
    place.pack = narrow(in.varint());
    place.frame.offset = narrow(in.varint());
    place.frame.length = narrow(in.varint());
    place.frame.ordinal = narrow(in.varint());
    return place;
  };
  const auto own = read_place();
  ref.pack = own.pack;
  ref.frame = own.frame;
  for (auto& base : ref.bases) base = read_place();
  return ref;
}

Bytes encode_map(const std::vector<ChunkRef>& refs, const PackTable& table) {
  // The packs in order of first use.
  std::map<std::uint32_t, std::uint32_t> local;
  PackTable needed;
  std::vector<FramePlace> places;
  for (const auto& ref : refs) {
    for (const auto& place : ref.places()) places.push_back(place);
  }
  for (const auto& place : places) {
    if (local.contains(place.pack)) continue;
    const auto& entry = table.at(place.pack);
    local[place.pack] = needed.add(entry.name, entry.size);
  }
  ByteWriter out;
  needed.write(out);
  out.varint(refs.size());
  for (const auto& ref : refs) out.u8(kind_of(ref));
  for (const auto& ref : refs) {
    if (!ref.zero) out.raw(ref.id.view());
  }
  for (const auto& place : places) out.varint(local.at(place.pack));
  for (const auto& place : places) out.varint(place.frame.offset);
  for (const auto& place : places) out.varint(place.frame.length);
  for (const auto& place : places) out.varint(place.frame.ordinal);
  return out.take();
}

std::vector<ChunkRef> decode_map(ByteView map, const PackTable& table) {
  ByteReader in(map, "a stored map");
  const auto needed = PackTable::read(in);
  const auto count = in.count(1);
  if (count > map_chunks_max) throw damaged("a stored map", "It lists too many chunks.");
  std::vector<ChunkRef> refs;
  refs.reserve(count);
  while (refs.size() < count) refs.push_back(ref_of_kind(in.u8()));
  for (auto& ref : refs) {
    if (!ref.zero) ref.id = ChunkId::read(in);
  }
  std::vector<std::uint32_t> index_in_table;
  for (const auto& entry : needed.entries()) {
    const auto index = table.find(entry.name);
    if (!index) throw damaged("a stored map", "It names a pack that the backup's root does not.");
    index_in_table.push_back(*index);
  }
  const auto column = [&](auto&& read) {
    for (auto& ref : refs) {
      if (ref.zero) continue;
      read(ref.pack, ref.frame);
      for (auto& base : ref.bases) read(base.pack, base.frame);
    }
  };
  column([&](std::uint32_t& pack, FrameLocation&) {
    const auto number = in.varint();
    if (number >= index_in_table.size()) throw damaged("a stored map", "A pack is out of range.");
    pack = index_in_table[number];
  });
  column([&](std::uint32_t&, FrameLocation& frame) { frame.offset = narrow(in.varint()); });
  column([&](std::uint32_t&, FrameLocation& frame) { frame.length = narrow(in.varint()); });
  column([&](std::uint32_t&, FrameLocation& frame) { frame.ordinal = narrow(in.varint()); });
  in.expect_end();
  return refs;
}

void write_file_entry(ByteWriter& out, const FileEntry& entry) {
  out.u8(static_cast<std::uint8_t>(entry.kind));
  out.string(entry.path);
  out.varint(entry.mode);
  out.i64(entry.mtime);
  switch (entry.kind) {
    case EntryKind::directory: break;
    case EntryKind::symlink: out.string(entry.link_target); break;
    case EntryKind::file:
      out.varint(entry.size);
      out.u32(entry.crc);
      // 0: empty; 1: one chunk follows; n + 1: n maps follow.
      if (entry.chunk) {
        out.varint(1);
        write_chunk_ref(out, *entry.chunk);
      } else {
        out.varint(entry.maps.empty() ? 0 : entry.maps.size() + 1);
        for (const auto& map : entry.maps) write_chunk_ref(out, map);
      }
      break;
  }
}

FileEntry read_file_entry(ByteReader& in) {
  FileEntry entry;
  const auto kind = in.u8();
  if (kind > 2) throw damaged("a file table", "The kind of an entry is not known.");
  entry.kind = static_cast<EntryKind>(kind);
  entry.path = in.string(path_bytes_max);
  if (!is_inner_path(entry.path)) {
    throw damaged("a file table", "It holds the path \"" + entry.path + "\".");
  }
  entry.mode = narrow(in.varint());
  entry.mtime = in.i64();
  switch (entry.kind) {
    case EntryKind::directory: break;
    case EntryKind::symlink: entry.link_target = in.string(path_bytes_max); break;
    case EntryKind::file: {
      entry.size = in.varint();
      entry.crc = in.u32();
      const auto form = in.count(1);
      if (form == 1) {
        entry.chunk = read_chunk_ref(in);
      } else {
        for (std::size_t i = 1; i < form; ++i) entry.maps.push_back(read_chunk_ref(in));
      }
      // A list with a hole would give back a file with a hole.
      const auto chunks = (entry.size + chunk_bytes - 1) / chunk_bytes;
      const auto expected = chunks <= 1 ? chunks : (chunks - 1) / map_chunks_max + 2;
      if (form != expected) {
        throw damaged("a file table", "The chunk list of \"" + entry.path + "\" has a hole.");
      }
      break;
    }
  }
  return entry;
}

const Stream& Root::stream(std::string_view name) const {
  const auto it = std::ranges::find(streams, name, &Stream::name);
  if (it == streams.end()) {
    throw Error(ErrorKind::not_found, "the backup has no part named " + std::string(name));
  }
  return *it;
}

Bytes encode_root(const ObjectCodec& codec, const Root& root, std::string_view key) {
  if (root.head.size() > root_head_bytes_max) {
    throw Error(ErrorKind::internal, "the head of a backup's root is too long");
  }
  ByteWriter out;
  codec.begin(out, ObjectKind::root);
  out.u32(static_cast<std::uint32_t>(root.head.size()));
  out.raw(root.head);
  out.raw(digest_at_key(key, out.bytes()).view());

  root.packs.write(out);
  out.varint(root.streams.size());
  for (const auto& stream : root.streams) {
    out.string(stream.name);
    out.varint(stream.size);
    out.varint(stream.chunks.size());
    for (const auto& chunk : stream.chunks) write_chunk_ref(out, chunk);
  }
  out.varint(root.notes.size());
  for (const auto& [name, content] : root.notes) {
    out.string(name);
    out.string(as_text(content));
  }
  out.raw(digest_at_key(key, out.bytes()).view());
  return out.take();
}

Bytes decode_root_head(const ObjectCodec& codec, ByteView prefix, std::string_view key) {
  return codec.read_enveloped(prefix, key, [&](ByteView bytes) {
    const auto what = "the backup root " + std::string(key);
    ByteReader in(bytes, what);
    codec.expect(in, ObjectKind::root, key);
    const auto length = in.u32();
    if (length > root_head_bytes_max) throw damaged(what, "Its head is too long.");
    const auto head = in.raw(length);
    const auto signed_bytes = bytes.first(in.position());
    if (Digest::read(in) != digest_at_key(key, signed_bytes)) {
      throw damaged(what, "The digest of its head does not fit.");
    }
    return Bytes(head.begin(), head.end());
  });
}

Root decode_root(const ObjectCodec& codec, ByteView object, std::string_view key) {
  const auto what = "the backup root " + std::string(key);
  Root root;
  root.head = decode_root_head(codec, object, key);
  // The digest first: then nothing below can be wrong but by a bug.
  const auto body_begin = envelope_bytes + 4 + root.head.size() + sizeof(Digest::bytes);
  if (object.size() < body_begin + sizeof(Digest::bytes)) throw damaged(what, "It is cut short.");
  const auto signed_bytes = object.first(object.size() - sizeof(Digest::bytes));
  ByteReader trailer(object.last(sizeof(Digest::bytes)), what);
  if (Digest::read(trailer) != digest_at_key(key, signed_bytes)) {
    throw damaged(what, "Its digest does not fit.");
  }
  ByteReader in(signed_bytes.subspan(body_begin), what);
  root.packs = PackTable::read(in);
  const auto streams = in.count(1);
  for (std::size_t i = 0; i < streams; ++i) {
    Stream stream;
    stream.name = in.string();
    stream.size = in.varint();
    stream.chunks.resize(in.count(1));
    for (auto& chunk : stream.chunks) chunk = read_chunk_ref(in);
    root.streams.push_back(std::move(stream));
  }
  const auto notes = in.count(1);
  for (std::size_t i = 0; i < notes; ++i) {
    auto name = in.string();
    const auto content = in.string(note_bytes_max);
    root.notes.emplace(std::move(name), Bytes(content.begin(), content.end()));
  }
  in.expect_end();
  return root;
}

}  // namespace walvault
