#include "catalog/records/catalogue_snapshot.h"

#include <algorithm>

#include "base/error.h"
#include "codec/compression.h"
#include "codec/sha256.h"

namespace walvault {
namespace {

constexpr std::uint64_t plain_bytes_max = 256u << 20;
constexpr std::size_t lsn_digits = 16;
constexpr std::size_t digest_digits = 32;

// Without when and where it was taken.
Bytes encode_databases(const std::vector<DatabaseNames>& databases) {
  ByteWriter out;
  out.varint(databases.size());
  for (const auto& database : databases) {
    out.varint(database.oid);
    out.string(database.name);
    out.string(database.unknown);
    out.varint(database.relations.size());
    for (const auto& relation : database.relations) {
      out.varint(relation.file.tablespace);
      out.varint(relation.file.number);
      out.varint(relation.oid);
      out.u8(static_cast<std::uint8_t>(relation.kind));
      out.string(relation.name);
    }
  }
  return out.take();
}

std::uint32_t number(ByteReader& in) { return static_cast<std::uint32_t>(in.varint()); }

std::vector<DatabaseNames> decode_databases(ByteView plain) {
  constexpr std::size_t database_bytes_min = 4;
  constexpr std::size_t relation_bytes_min = 5;
  ByteReader in(plain, "a catalogue snapshot");
  std::vector<DatabaseNames> databases(in.count(database_bytes_min));
  for (auto& database : databases) {
    database.oid = number(in);
    database.name = in.string();
    database.unknown = in.string();
    database.relations.resize(in.count(relation_bytes_min));
    for (auto& relation : database.relations) {
      relation.file.tablespace = number(in);
      // Those that all databases share are seen from each.
      relation.file.database = database.oid;
      relation.file.number = number(in);
      relation.oid = number(in);
      relation.kind = static_cast<char>(in.u8());
      relation.name = in.string();
    }
  }
  in.expect_end();
  return databases;
}

std::string digest_of(const CatalogueSnapshot& snapshot) {
  return sha256(encode_databases(snapshot.databases)).hex().substr(0, digest_digits);
}

}  // namespace

const DatabaseNames* CatalogueSnapshot::find_database(std::uint32_t oid) const {
  const auto it = std::ranges::find(databases, oid, &DatabaseNames::oid);
  return it == databases.end() ? nullptr : &*it;
}

const RelationName* CatalogueSnapshot::find(const RelationFile& file) const {
  const auto* const database = find_database(file.database);
  if (database == nullptr) return nullptr;
  const auto it = std::ranges::lower_bound(database->relations, file, {}, &RelationName::file);
  return it != database->relations.end() && it->file == file ? &*it : nullptr;
}

Bytes encode_catalogue(const CatalogueSnapshot& snapshot) {
  const auto plain = encode_databases(snapshot.databases);
  Compressor compressor;
  Bytes stored;
  const auto compression =
      compressor.compress({.algorithm = Compression::zstd, .level = 3}, plain, stored);
  ByteWriter out;
  out.u64(snapshot.lsn.value);
  out.time(snapshot.taken);
  out.u8(static_cast<std::uint8_t>(compression));
  out.u64(plain.size());
  out.raw(stored);
  return out.take();
}

CatalogueSnapshot decode_catalogue(ByteView payload) {
  ByteReader in(payload, "a catalogue snapshot");
  CatalogueSnapshot snapshot;
  snapshot.lsn = {in.u64()};
  snapshot.taken = in.time();
  const auto compression = compression_from_disk(in.u8());
  const auto plain_bytes = in.u64();
  if (plain_bytes > plain_bytes_max) {
    throw Error(ErrorKind::corrupt, "a catalogue snapshot is damaged",
                "It claims " + std::to_string(plain_bytes) + " bytes.");
  }
  Bytes plain(plain_bytes);
  Compressor().decompress(compression, in.raw(in.left()), plain);
  snapshot.databases = decode_databases(plain);
  return snapshot;
}

bool put_catalogue(const Repository& repository, const ClusterIdentity& identity,
                   const CatalogueSnapshot& snapshot) {
  const auto digest = digest_of(snapshot);
  const auto stored = list_catalogues(repository, identity);
  if (!stored.empty() && stored.back().lsn <= snapshot.lsn && stored.back().key.ends_with(digest)) {
    return false;
  }
  const auto lsn = to_upper_hex(static_cast<std::uint32_t>(snapshot.lsn.value >> 32)) +
                   to_upper_hex(static_cast<std::uint32_t>(snapshot.lsn.value));
  std::string key = prefix_of(ObjectPlace::catalogues, identity);
  key.append(lsn).append("-").append(digest);
  return repository.put_sealed(ObjectKind::catalogue, key, encode_catalogue(snapshot));
}

std::vector<StoredCatalogue> list_catalogues(const Repository& repository,
                                             const ClusterIdentity& identity) {
  const auto prefix = prefix_of(ObjectPlace::catalogues, identity);
  std::vector<StoredCatalogue> found;
  for (const auto& name : repository.storage().list_names(prefix)) {
    const auto high = parse_hex(std::string_view(name).substr(0, lsn_digits / 2));
    if (name.size() != lsn_digits + 1 + digest_digits || !high) continue;
    const auto low = parse_hex(std::string_view(name).substr(lsn_digits / 2, lsn_digits / 2));
    if (!low) continue;
    found.push_back({.lsn = {*high << 32 | *low}, .key = prefix + name});
  }
  return found;
}

CatalogueSnapshot get_catalogue(const Repository& repository, const StoredCatalogue& stored) {
  const auto payload = repository.find_sealed(ObjectKind::catalogue, stored.key);
  if (!payload) throw Error(ErrorKind::corrupt, "the object " + stored.key + " is gone");
  return decode_catalogue(*payload);
}

}  // namespace walvault
