#include "repository/repository.h"

#include <gtest/gtest.h>

#include <utility>

#include "support/hooked_storage.h"
#include "support/memory_repository.h"
#include "support/test_data.h"

namespace walvault {
namespace {

// The payload of a format object, with what a test wants to be different.
struct Format {
  std::uint16_t version = 1;
  std::uint32_t chunk_size = 256 * 1024;
  std::uint8_t digest = 1;
  std::uint64_t reader_features = 0;
  std::uint64_t writer_features = 0;
  std::uint64_t gc_features = 0;
  Bytes rest = {};

  [[nodiscard]] Bytes sealed(const std::string& key) const {
    ByteWriter out;
    out.u16(version);
    out.raw(id_of(9));
    out.i64(0);
    out.u32(chunk_size);
    out.u8(digest);
    out.u64(reader_features);
    out.u64(writer_features);
    out.u64(gc_features);
    out.raw(rest);
    return ObjectCodec().seal(ObjectKind::format, key, out.bytes());
  }
};

std::string opening(const Format& format) {
  MemoryStorage storage;
  storage.overwrite("format/1", format.sealed("format/1"));
  return error_of([&] { (void)Repository::open(storage); });
}

TEST(Repository, IsOpenedAsItWasCreated) {
  MemoryStorage storage;
  FakeClock clock;
  CountingRandomness randomness;
  EXPECT_FALSE(holds_repository(storage));
  Repository::create(storage, clock, randomness);
  EXPECT_TRUE(holds_repository(storage));
  EXPECT_EQ(Repository::open(storage).id(), "01000000000000000000000000000000");
}

TEST(Repository, IsCreatedOnlyOnce) {
  MemoryRepository made;
  const auto before = made.storage.find("format/1", whole_object);
  EXPECT_EQ(error_of([&] { Repository::create(made.storage, made.clock, made.randomness); }),
            "conflict");
  EXPECT_TRUE(made.storage.find("format/1", whole_object) == before);
}

// Two that run init at the same instant, or one whose answer was lost.
TEST(Repository, IsMadeByOneOfTwo) {
  for (const bool is_own : {false, true}) {
    MemoryStorage storage;
    FakeClock clock;
    CountingRandomness randomness;
    HookedStorage hooked(storage);
    bool done = false;
    hooked.before = [&](std::string_view operation, std::string_view key) {
      if (operation != "put" || std::exchange(done, true)) return;
      // Of the first id that is drawn, or of another.
      CountingRandomness others;
      if (!is_own) (void)others.id();
      MemoryStorage first;
      Repository::create(first, clock, others);
      storage.overwrite(std::string(key), *first.find(std::string(key), whole_object));
    };
    EXPECT_EQ(error_of([&] { Repository::create(hooked, clock, randomness); }),
              is_own ? "nothing" : "conflict");
  }
}

TEST(Repository, SaysThatWhatItListedIsGone) {
  MemoryRepository made;
  HookedStorage hooked(made.storage);
  const auto repository = Repository::open(hooked);
  hooked.before = [&](std::string_view operation, std::string_view key) {
    if (operation == "find") made.storage.remove({std::string(key)});
  };
  EXPECT_EQ(error_of([&] { (void)repository.latest_in_series(ObjectKind::format, "format/"); }),
            "corrupt");
}

TEST(Repository, IsNotFoundInAnEmptyStorage) {
  MemoryStorage storage;
  EXPECT_EQ(error_of([&] { (void)Repository::open(storage); }), "not_found");
}

TEST(Repository, RefusesWhatANewerVersionMade) {
  ASSERT_EQ(opening({}), "nothing");
  EXPECT_EQ(opening({.version = 2}), "conflict");
  EXPECT_EQ(opening({.chunk_size = 8192}), "conflict");
  EXPECT_EQ(opening({.digest = 2}), "conflict");
  EXPECT_EQ(opening({.reader_features = 1}), "nothing");
  EXPECT_EQ(opening({.reader_features = 2}), "conflict");
  EXPECT_EQ(opening({.reader_features = 3}), "conflict");
  EXPECT_EQ(opening({.writer_features = 1u << 20}), "conflict");
}

TEST(Repository, LeavesFeaturesOfGcToGc) { EXPECT_EQ(opening({.gc_features = 1}), "nothing"); }

TEST(Repository, GoesByItsNewestFormatObject) {
  MemoryRepository made;
  made.storage.overwrite("format/2", Format{.version = 2}.sealed("format/2"));
  EXPECT_EQ(error_of([&] { (void)Repository::open(made.storage); }), "conflict");
}

TEST(Repository, AnnouncesAFeatureOnce) {
  MemoryRepository made;
  made.storage.overwrite("format/2", Format{.gc_features = 4}.sealed("format/2"));
  made.repository.announce(Feature::delta_frames);
  made.repository.announce(Feature::delta_frames);
  EXPECT_EQ(keys_under(made.storage, "format/"),
            (std::vector<std::string>{"format/1", "format/2", "format/3"}));
  // Whatever else it said stays.
  EXPECT_EQ(made.storage.find("format/3", whole_object),
            (Format{.reader_features = 1, .gc_features = 4}.sealed("format/3")));
}

TEST(Repository, AnnouncesNothingOverANewerVersion) {
  MemoryRepository made;
  made.storage.overwrite("format/2", Format{.version = 2}.sealed("format/2"));
  EXPECT_EQ(error_of([&] { made.repository.announce(Feature::delta_frames); }), "conflict");
  EXPECT_EQ(keys_under(made.storage, "format/").size(), 2u);
}

TEST(Repository, KeepsWhatALaterVersionSaysBesides) {
  MemoryRepository made;
  const Format known{.reader_features = 1, .rest = bytes_of("more")};
  Format before = known;
  before.reader_features = 0;
  made.storage.overwrite("format/2", before.sealed("format/2"));
  made.repository.announce(Feature::delta_frames);
  EXPECT_EQ(made.storage.find("format/3", whole_object), known.sealed("format/3"));
}

TEST(Repository, AnnouncesBesideOthers) {
  MemoryRepository made;
  HookedStorage hooked(made.storage);
  const auto repository = Repository::open(hooked);
  bool done = false;
  hooked.before = [&](std::string_view operation, std::string_view key) {
    if (operation != "put" || std::exchange(done, true)) return;
    made.storage.overwrite(std::string(key), Format{.gc_features = 4}.sealed(std::string(key)));
  };
  repository.announce(Feature::delta_frames);
  EXPECT_EQ(made.storage.find("format/3", whole_object),
            (Format{.reader_features = 1, .gc_features = 4}.sealed("format/3")));
}

TEST(Repository, TellsADamagedFormatObjectFromNone) {
  MemoryRepository made;
  auto object = *made.storage.find("format/1", whole_object);
  object[40] ^= 1;
  made.storage.overwrite("format/1", object);
  EXPECT_EQ(error_of([&] { (void)Repository::open(made.storage); }), "corrupt");
  EXPECT_EQ(error_of([&] { Repository::create(made.storage, made.clock, made.randomness); }),
            "conflict");
}

TEST(Repository, FindsSealedObjectsAndTellsAbsentFromDamaged) {
  MemoryRepository made;
  const auto& repository = made.repository;
  EXPECT_EQ(repository.find_sealed(ObjectKind::pin, "pins/a/1"), std::nullopt);
  EXPECT_TRUE(repository.put_sealed(ObjectKind::pin, "pins/a/1", as_bytes("one")));
  EXPECT_FALSE(repository.put_sealed(ObjectKind::pin, "pins/a/1", as_bytes("two")));
  EXPECT_EQ(repository.find_sealed(ObjectKind::pin, "pins/a/1"), bytes_of("one"));
  EXPECT_EQ(error_of([&] { (void)repository.find_sealed(ObjectKind::plan, "pins/a/1"); }),
            "corrupt");
}

TEST(Series, CountsTheHighestNumberAsANumber) {
  MemoryRepository made;
  const auto& repository = made.repository;
  EXPECT_EQ(repository.latest_in_series(ObjectKind::cluster, "clusters/main/"), std::nullopt);
  for (const auto* const number : {"1", "2", "9", "10"}) {
    ASSERT_TRUE(repository.put_sealed(ObjectKind::cluster, std::string("clusters/main/") + number,
                                      as_bytes(number)));
  }
  // What is no number belongs to someone else.
  ASSERT_TRUE(repository.put_sealed(ObjectKind::cluster, "clusters/main/99x", as_bytes("no")));
  ASSERT_TRUE(repository.put_sealed(ObjectKind::cluster, "clusters/main2/77", as_bytes("no")));
  const auto latest = repository.latest_in_series(ObjectKind::cluster, "clusters/main/");
  ASSERT_TRUE(latest);
  EXPECT_EQ(latest->first, 10u);
  EXPECT_EQ(latest->second, bytes_of("10"));
}

TEST(Series, DoesNotFallBackBehindADamagedNewestObject) {
  MemoryRepository made;
  const auto& repository = made.repository;
  ASSERT_TRUE(repository.put_sealed(ObjectKind::cluster, "clusters/main/1", as_bytes("one")));
  made.storage.overwrite("clusters/main/2", bytes_of("garbage that is no object"));
  EXPECT_EQ(
      error_of([&] { (void)repository.latest_in_series(ObjectKind::cluster, "clusters/main/"); }),
      "corrupt");
}

}  // namespace
}  // namespace walvault
