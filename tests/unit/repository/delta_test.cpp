// Chunks that are stored as differences from what the parent has at their place:
// when, how deep, from what, and what becomes of damage below them.
#include <gtest/gtest.h>

#include <random>

#include "repository/chunk_fetcher.h"
#include "repository/gc.h"
#include "repository/gc_plan.h"
#include "repository/pin.h"
#include "repository/unfinished.h"
#include "support/hooked_storage.h"
#include "support/memory_repository.h"
#include "support/test_data.h"
#include "support/tree_content.h"

namespace walvault {
namespace {

const ObjectCodec codec;

std::string root_key_of(int number) { return "backups/main/" + std::to_string(number) + "/1"; }

class DeltaTest : public testing::Test {
 protected:
  struct Made {
    int number = 0;
    TreeWriter::Totals totals;
    std::string parent_damage;
    std::set<PackName> damaged_bases;
  };
  static TreeWriter::Options to_depth(std::size_t depth) {
    TreeWriter::Options options;
    options.delta_depth = depth;
    return options;
  }

  // Parent 0: none.
  // `is_killed`: when it has stored much of it.
  Made back_up(const Files& files, int parent, const TreeWriter::Options& options = {},
               bool is_killed = false) {
    const int number = ++made_count_;
    const WriterSession session(made_.repository, made_.clock,
                                id_of(static_cast<std::uint8_t>(number)), root_key_of(number),
                                parent == 0 ? "" : root_key_of(parent),
                                find_unfinished(made_.repository, "backups/main/", "", 2));
    TreeWriter tree(session, options);
    for (const auto& [path, content] : files) write_tree_file(tree, path, content);
    if (is_killed)
      return {.number = number, .totals = {}, .parent_damage = {}, .damaged_bases = {}};
    session.commit(encode_root(codec, tree.finish(), root_key_of(number)));
    return {.number = number,
            .totals = tree.totals(),
            .parent_damage = tree.parent_damage(),
            .damaged_bases = tree.damaged_bases()};
  }
  [[nodiscard]] Files read_back(int number) {
    TreeReader tree(made_.repository, root_key_of(number));
    return read_tree(tree);
  }
  // By the way that a restore takes.
  [[nodiscard]] Files fetched(int number) {
    TreeReader tree(made_.repository, root_key_of(number));
    Files files;
    std::vector<WantedChunk> wanted;
    for (const auto& [path, entry] : entries_of(tree)) {
      files[path].resize(entry.size);
      const auto shared = std::make_shared<const std::string>(path);
      tree.for_each_stored_chunk(entry, [&](auto offset, auto length, const ChunkRef& ref) {
        wanted.push_back({.path = shared, .offset = offset, .length = length, .ref = ref});
      });
    }
    ChunkFetcher fetcher(made_.storage, tree.root().packs, 2,
                         {.got =
                              [&](const WantedChunk& chunk, ByteView bytes, unsigned) {
                                std::ranges::copy(bytes,
                                                  files.at(*chunk.path).begin() +
                                                      static_cast<std::ptrdiff_t>(chunk.offset));
                              },
                          .damaged = [](const WantedChunk&,
                                        const DamagedChunk& damage) { throw DamagedChunk(damage); },
                          .reading = [](std::uint64_t) {},
                          .progress = [](std::uint64_t) {}});
    for (auto& chunk : wanted) fetcher.add(std::move(chunk));
    fetcher.finish();
    return files;
  }
  [[nodiscard]] std::vector<ChunkRef> refs(int number, const std::string& path) {
    TreeReader tree(made_.repository, root_key_of(number));
    return chunks_of(tree, entries_of(tree).at(path));
  }
  [[nodiscard]] std::vector<std::size_t> depths(int number, const std::string& path) {
    std::vector<std::size_t> depths;
    for (const auto& ref : refs(number, path)) depths.push_back(ref.bases.size());
    return depths;
  }
  void damage(int number, const FramePlace& place) {
    const TreeReader tree(made_.repository, root_key_of(number));
    const auto key = tree.root().packs.at(place.pack).name.key();
    auto pack = *made_.storage.find(key, whole_object);
    pack[place.frame.offset + place.frame.length - 1] ^= 1;
    made_.storage.overwrite(key, pack);
  }

  MemoryRepository made_;
  int made_count_ = 0;
};

using Depths = std::vector<std::size_t>;

TEST_F(DeltaTest, AChangedChunkTakesWhatChanged) {
  auto content = random_bytes(700'000, 1);
  (void)back_up({{"f", content}}, 0);
  const auto before = content;
  content[10] ^= 1;       // in the first chunk
  content[699'999] ^= 1;  // and in the last
  const auto second = back_up({{"f", content}}, 1);
  EXPECT_EQ(depths(2, "f"), (Depths{1, 0, 1}));
  EXPECT_EQ(second.totals.new_bytes, 262'144u + 700'000 - 2 * 262'144);
  EXPECT_LT(second.totals.stored_bytes, 3000u);
  EXPECT_TRUE(read_back(2) == (Files{{"f", content}}));
  EXPECT_TRUE(fetched(2) == (Files{{"f", content}}));
  EXPECT_TRUE(read_back(1) == (Files{{"f", before}}));
}

TEST_F(DeltaTest, WhatIsMostlyNewIsStoredItself) {
  auto content = random_bytes(262'144, 1);
  (void)back_up({{"f", content}}, 0);
  const auto half = random_bytes(140'000, 2);
  std::ranges::copy(half, content.begin());
  (void)back_up({{"f", content}}, 1);
  EXPECT_EQ(depths(2, "f"), Depths{0});
  EXPECT_TRUE(read_back(2) == (Files{{"f", content}}));
}

TEST_F(DeltaTest, TheDepthIsBoundedAndTheDeepestBeginsAnewFromTheFirst) {
  auto content = random_bytes(262'144, 1);
  std::vector<Files> all;
  std::vector<std::size_t> seen;
  for (int i = 0; i < 8; ++i) {
    content[static_cast<std::size_t>(i) * 1000] ^= 1;
    all.push_back({{"f", content}});
    (void)back_up(all.back(), i, to_depth(3));
    seen.push_back(depths(i + 1, "f").front());
  }
  EXPECT_EQ(seen, (Depths{0, 1, 2, 3, 1, 2, 3, 1}));
  EXPECT_EQ(refs(8, "f").front().bases.back().frame, refs(1, "f").front().frame);
  for (int i = 0; i < 8; ++i) {
    EXPECT_TRUE(read_back(i + 1) == all.at(static_cast<std::size_t>(i))) << i;
    EXPECT_TRUE(fetched(i + 1) == all.at(static_cast<std::size_t>(i))) << i;
  }
}

TEST_F(DeltaTest, ASmallerDepthHoldsFromTheNextBackup) {
  auto content = random_bytes(262'144, 1);
  for (int i = 0; i < 6; ++i) {
    content[static_cast<std::size_t>(i) * 1000] ^= 1;
    (void)back_up({{"f", content}}, i, to_depth(i < 5 ? 4 : 1));
  }
  EXPECT_EQ(depths(5, "f"), Depths{4});
  EXPECT_EQ(depths(6, "f"), Depths{1});
  EXPECT_TRUE(read_back(6) == (Files{{"f", content}}));
}

TEST_F(DeltaTest, WithoutADepthNothingIsStoredAsADifferenceAndOlderReadersMayRead) {
  auto content = random_bytes(262'144, 1);
  (void)back_up({{"f", content}}, 0, to_depth(0));
  content[10] ^= 1;
  (void)back_up({{"f", content}}, 1, to_depth(0));
  EXPECT_EQ(depths(2, "f"), Depths{0});
  EXPECT_EQ(keys_under(made_.storage, "format/").size(), 1u);
  content[11] ^= 1;
  (void)back_up({{"f", content}}, 2);
  EXPECT_EQ(depths(3, "f"), Depths{1});
  EXPECT_EQ(keys_under(made_.storage, "format/").size(), 2u);
}

// The list of files, maps and streams: of a backup after small changes they are most.
TEST_F(DeltaTest, WhatDescribesTheFilesIsStoredAsADifferenceToo) {
  Files files;
  for (int i = 0; i < 3000; ++i) {
    files["base/5/" + std::to_string(10'000 + i)] =
        random_bytes(100, static_cast<std::uint64_t>(i));
  }
  files["large"] = random_bytes(30'000'000, 1);
  auto manifest = random_bytes(600'000, 2);
  const auto back_up_with_manifest = [&](int number) {
    const WriterSession session(made_.repository, made_.clock,
                                id_of(static_cast<std::uint8_t>(number)), root_key_of(number),
                                number == 1 ? "" : root_key_of(number - 1));
    TreeWriter tree(session, {});
    tree.begin_stream("manifest");
    tree.begin_stream("other");
    for (const auto& [path, content] : files) {
      write_tree_file(tree, path, content);
      tree.append_to_stream("other", as_bytes(path));
    }
    tree.append_to_stream("manifest", manifest);
    tree.end_stream("other");
    tree.end_stream("manifest");
    session.commit(encode_root(codec, tree.finish(), root_key_of(number)));
    return tree.totals().stored_bytes;
  };
  (void)back_up_with_manifest(1);
  for (int number = 2; number < 8; ++number) {
    files.at("base/5/11000")[10] ^= 1;
    files.at("large")[1'000'000] ^= 1;
    manifest[static_cast<std::size_t>(number)] ^= 1;
    EXPECT_LT(back_up_with_manifest(number), 4000u) << number;
    EXPECT_TRUE(read_back(number) == files);
    TreeReader tree(made_.repository, root_key_of(number));
    Bytes stream;
    tree.read_stream("manifest",
                     [&](ByteView part) { stream.insert(stream.end(), part.begin(), part.end()); });
    EXPECT_TRUE(stream == manifest);
    EXPECT_EQ(tree.root().packs.entries().size(), packs_reached(tree).size());
    for (const auto& ref : tree.root().stream("manifest").chunks) {
      EXPECT_LE(ref.bases.size(), 4u);
    }
    EXPECT_FALSE(tree.root().stream("files").chunks.front().bases.empty());
    EXPECT_FALSE(entries_of(tree).at("large").maps.front().bases.empty());
  }
}

// Reading a base takes 20 ms, storing what that saves nearly nothing.
TEST_F(DeltaTest, WhereBasesAreFarAwayFewAreReadIfThatIsWeighed) {
  constexpr std::size_t chunks = 200;
  Bytes content(chunks * chunk_bytes);
  for (std::size_t i = 0; i < chunks; ++i) {
    const auto part = random_bytes(3000, i);
    std::ranges::copy(part, content.begin() + static_cast<std::ptrdiff_t>(i * chunk_bytes));
  }
  const auto first = back_up({{"a", content}}, 0);
  for (std::size_t i = 0; i < chunks; ++i) content[i * chunk_bytes + 5000] = 1;

  HookedStorage far(made_.storage);
  far.before = [this](std::string_view operation, std::string_view key) {
    if (operation == "find" && key.starts_with("packs/")) {
      made_.clock.advance(std::chrono::milliseconds(20));
    }
  };
  const auto repository = Repository::open(far);
  const auto differences = [&](int number, bool weighs) {
    TreeWriter::Options options;
    options.jobs = 1;
    options.weighs_deltas = weighs;
    const WriterSession session(repository, made_.clock, id_of(static_cast<std::uint8_t>(number)),
                                root_key_of(number), root_key_of(first.number));
    TreeWriter tree(session, options);
    write_tree_file(tree, "a", content);
    session.commit(encode_root(codec, tree.finish(), root_key_of(number)));
    EXPECT_TRUE(read_back(number).at("a") == content);
    const auto all = depths(number, "a");
    return std::ranges::count_if(all, [](std::size_t depth) { return depth > 0; });
  };
  EXPECT_EQ(differences(101, false), static_cast<std::ptrdiff_t>(chunks));
  const auto weighed = differences(102, true);
  EXPECT_LT(weighed, static_cast<std::ptrdiff_t>(chunks) / 2);
  EXPECT_GT(weighed, 0);
}

TEST_F(DeltaTest, AnUnchangedChunkIsBorrowedWithItsBases) {
  auto content = random_bytes(500'000, 1);
  (void)back_up({{"f", content}}, 0);
  content[10] ^= 1;
  (void)back_up({{"f", content}}, 1);
  const auto third = back_up({{"f", content}}, 2);
  EXPECT_EQ(third.totals.new_bytes, 0u);
  EXPECT_EQ(depths(3, "f"), (Depths{1, 0}));
  EXPECT_TRUE(fetched(3) == (Files{{"f", content}}));
}

// Small chunks lie together in a GROUP; a difference is a frame of its own.
TEST_F(DeltaTest, SmallFilesToo) {
  Files files;
  for (int i = 0; i < 40; ++i) {
    files["f" + std::to_string(i)] =
        random_bytes(3000 + 1000u * static_cast<unsigned>(i), static_cast<std::uint64_t>(i));
  }
  (void)back_up(files, 0);
  for (auto& [path, content] : files) content[5] ^= 1;
  const auto second = back_up(files, 1);
  EXPECT_EQ(depths(2, "f0"), Depths{0});  // too small for a frame of its own
  EXPECT_EQ(depths(2, "f39"), Depths{1});
  EXPECT_LT(second.totals.stored_bytes, 15'000u);
  EXPECT_TRUE(read_back(2) == files);
  EXPECT_TRUE(fetched(2) == files);
}

TEST_F(DeltaTest, AFileThatGrewOrShrank) {
  const auto content = random_bytes(400'000, 1);
  (void)back_up({{"f", content}, {"g", content}}, 0);
  auto grown = content;
  grown.resize(460'000, 7);
  auto shrunk = content;
  shrunk.resize(390'000);
  const auto second = back_up({{"f", grown}, {"g", shrunk}}, 1);
  EXPECT_LT(second.totals.stored_bytes, 10'000u);
  EXPECT_TRUE(fetched(2) == (Files{{"f", grown}, {"g", shrunk}}));
}

// A gc that has condemned the pack of any frame below may delete it at any time.
TEST_F(DeltaTest, NothingIsMadeAgainstWhatAGcHasCondemned) {
  auto content = random_bytes(262'144, 1);
  for (int i = 0; i < 3; ++i) {
    content[static_cast<std::size_t>(i) * 1000] ^= 1;
    (void)back_up({{"f", content}}, i);
  }
  ASSERT_EQ(depths(3, "f"), Depths{2});
  const TreeReader tree(made_.repository, root_key_of(3));
  for (const auto& place : refs(3, "f").front().places()) {
    const auto& condemned = tree.root().packs.at(place.pack);
    GcPlan plan;
    plan.condemned.add(condemned.name, condemned.size);
    ASSERT_TRUE(made_.repository.put_sealed(ObjectKind::plan, "plans/x", encode_gc_plan(plan)));
    // What changed, and what did not.
    for (const bool changes : {true, false}) {
      if (changes) content[50'000] ^= 1;
      const auto made = back_up({{"f", content}}, 3);
      const TreeReader next(made_.repository, root_key_of(made.number));
      EXPECT_EQ(next.root().packs.find(condemned.name), std::nullopt) << place.frame.offset;
      EXPECT_TRUE(fetched(made.number) == (Files{{"f", content}}));
    }
    content[50'000] ^= 1;
    made_.storage.remove({"plans/x"});
  }
}

// Nothing is made against what cannot be read back.
TEST_F(DeltaTest, ADamagedBaseCostsSpaceAndNeverTheBackup) {
  auto content = random_bytes(500'000, 1);
  (void)back_up({{"f", content}}, 0);
  damage(1, refs(1, "f").front().place());
  content[10] ^= 1;
  content[400'000] ^= 1;
  const auto second = back_up({{"f", content}}, 1);
  EXPECT_EQ(depths(2, "f"), (Depths{0, 1}));
  EXPECT_NE(second.parent_damage.find("packs/"), std::string::npos) << second.parent_damage;
  const TreeReader first(made_.repository, root_key_of(1));
  EXPECT_EQ(second.damaged_bases, std::set{first.root().packs.at(refs(1, "f").front().pack).name});
  EXPECT_TRUE(fetched(2) == (Files{{"f", content}}));
}

// A base is trusted for its frame's checksum: what is made against it comes right as
// long as it is what it was.
TEST_F(DeltaTest, WhatIsMadeAgainstAWrongBaseIsRightWithIt) {
  auto content = random_bytes(262'144, 1);
  for (int i = 0; i < 2; ++i) {
    content[static_cast<std::size_t>(i) * 1000] ^= 1;
    (void)back_up({{"f", content}}, i, to_depth(1));
  }
  // Another chunk's frame, whole in itself, where the base should be.
  const auto base = refs(1, "f").front();
  const auto other = random_bytes(262'144, 9);
  Compressor compressor;
  const auto frame = encode_full_frame(compressor, {.algorithm = Compression::none}, other);
  ASSERT_EQ(frame.size(), base.frame.length);
  const TreeReader tree(made_.repository, root_key_of(1));
  const auto key = tree.root().packs.at(base.pack).name.key();
  auto pack = *made_.storage.find(key, whole_object);
  std::ranges::copy(frame, pack.begin() + base.frame.offset);
  made_.storage.overwrite(key, pack);
  content[2000] ^= 1;
  const auto third = back_up({{"f", content}}, 2, to_depth(1));
  EXPECT_TRUE(third.parent_damage.empty());
  EXPECT_TRUE(fetched(3) == (Files{{"f", content}}));
  // The one before is lost, and the frame at fault is named.
  const auto words = words_of_error([&] { (void)fetched(2); });
  EXPECT_NE(words.find(key), std::string::npos) << words;
  EXPECT_NE(words.find("its base"), std::string::npos) << words;
  EXPECT_NE(words.find("another digest"), std::string::npos) << words;
}

TEST_F(DeltaTest, DamageNamesThePackAtFault) {
  auto content = random_bytes(262'144, 1);
  for (int i = 0; i < 3; ++i) {
    content[static_cast<std::size_t>(i) * 1000] ^= 1;
    (void)back_up({{"f", content}}, i);
  }
  const auto ref = refs(3, "f").front();
  const TreeReader tree(made_.repository, root_key_of(3));
  for (const auto& place : ref.places()) {
    const auto name = tree.root().packs.at(place.pack).name;
    const auto pack = *made_.storage.find(name.key(), whole_object);
    damage(3, place);
    try {
      (void)fetched(3);
      ADD_FAILURE() << "the damage was not noticed";
    } catch (const DamagedChunk& error) {
      EXPECT_EQ(error.pack().key(), name.key());
    }
    made_.storage.remove({name.key()});
    try {
      (void)fetched(3);
      ADD_FAILURE() << "the missing pack was not noticed";
    } catch (const DamagedChunk& error) {
      EXPECT_EQ(error.pack().key(), name.key());
      EXPECT_NE(error.detail().find("gone"), std::string::npos) << error.detail();
    }
    made_.storage.overwrite(name.key(), pack);
  }
  EXPECT_TRUE(fetched(3) == (Files{{"f", content}}));
}

// Differences of many small chunks, each from a large frame of its own.
TEST_F(DeltaTest, NoMoreIsReadOfBasesThanFitsIntoMemory) {
  Files files;
  for (int round = 0; round < 90; ++round) {
    const auto name = "f" + std::to_string(100 + round);
    files[name] = random_bytes(5'000, static_cast<std::uint64_t>(round));
    for (const std::uint64_t i : {1u, 2u}) {
      files["g" + std::to_string(i)] =
          random_bytes(120'000, 1000 * i + static_cast<std::uint64_t>(round));
    }
    (void)back_up(files, round, to_depth(0));
  }
  for (const auto* name : {"g1", "g2"}) files.erase(name);
  for (auto& [path, content] : files) content[5] ^= 1;
  const auto last = back_up(files, 90);
  std::size_t deltas = 0;
  for (const auto& [path, content] : files) deltas += depths(last.number, path).front();
  // 16 MiB of frames of 245 kB, of 90.
  EXPECT_GT(deltas, 50u);
  EXPECT_LT(deltas, 80u);
  EXPECT_TRUE(fetched(last.number) == files);
}

TEST_F(DeltaTest, AListThatGivesZerosForPartOfATreeIsDamaged) {
  ChunkRef zero;
  zero.zero = true;
  EXPECT_EQ(
      error_of([&] { (void)ChunkReader(made_.storage, PackTable(), made_.clock).read(zero); }),
      "corrupt");
}

// Edits of every kind to files of every size, over a number of backups, which are then
// deleted in any order with gc between, and runs that are killed: what is left is what
// it was.
class DeltaProperty : public DeltaTest, public testing::WithParamInterface<std::uint32_t> {
 protected:
  void edit(Files& files) {
    for (auto& [path, content] : files) {
      const auto kind = any(8);
      const auto place = content.empty() ? 0 : any(content.size());
      if (kind < 3) {  // a few pages
        for (std::size_t i = 0; i <= any(4) && !content.empty(); ++i) {
          const auto page = any(content.size()) / 8192 * 8192;
          const auto bytes =
              random_bytes(std::min<std::size_t>(200, content.size() - page), any(1000));
          std::ranges::copy(bytes, content.begin() + static_cast<std::ptrdiff_t>(page));
        }
      } else if (kind == 3) {
        content = random_bytes(any(600'000), any(1000));
      } else if (kind == 4) {
        content.resize(content.size() + any(100'000), 3);
      } else if (kind == 5) {
        content.resize(place);
      } else if (kind == 6) {
        std::fill(content.begin() + static_cast<std::ptrdiff_t>(place), content.end(), 0);
      }
    }
    if (any(2) == 0) files["new" + std::to_string(any(1000))] = random_bytes(any(300'000), any(99));
    if (any(3) == 0 && files.size() > 3) files.erase(files.begin());
    // A copy of a database.
    if (any(4) == 0) files["copy/" + files.begin()->first] = files.begin()->second;
  }
  std::size_t any(std::size_t below) {
    return std::uniform_int_distribution<std::size_t>(0, below - 1)(random_);
  }

  std::mt19937 random_{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(Seeds, DeltaProperty, testing::Range(1u, 13u));

TEST_P(DeltaProperty, WhateverIsDeletedTheRestIsWhatItWas) {
  Files files;
  for (int i = 0; i < 6; ++i)
    files["f" + std::to_string(i)] = random_bytes(any(900'000), any(1000));
  std::map<int, Files> kept;
  TreeWriter::Options options;
  options.data_pack = {.bytes_max = 300'000, .frames_max = 4};
  options.delta_pack = {.bytes_max = 20'000, .frames_max = 5};
  std::size_t deltas = 0;
  for (std::uint8_t step = 0; step < 10; ++step) {
    if (kept.size() > 1 && any(3) == 0) {
      const auto victim = std::next(kept.begin(), static_cast<std::ptrdiff_t>(any(kept.size())));
      const auto key = root_key_of(victim->first);
      ASSERT_TRUE(made_.repository.put_sealed(ObjectKind::deleted, deletion_key(key), {}));
      made_.storage.remove({key});
      kept.erase(victim);
      const GcOptions gc{.give_up_after =
                             any(2) == 0 ? std::chrono::hours(48) : std::chrono::milliseconds{-1}};
      (void)collect_garbage(made_.repository, made_.clock,
                            id_of(static_cast<std::uint8_t>(200 + step)), gc);
    }
    edit(files);
    const auto parent =
        kept.empty() || any(5) == 0
            ? 0
            : std::next(kept.begin(), static_cast<std::ptrdiff_t>(any(kept.size())))->first;
    options.delta_depth = any(4) + 1;
    options.unfinished_bytes_min = 1 + any(500'000);
    if (any(3) == 0) {
      (void)back_up(files, parent, options, true);
      edit(files);
    }
    const auto made = back_up(files, parent, options);
    EXPECT_EQ(made.parent_damage, "");
    for (const auto& [path, content] : files) {
      for (const auto depth : depths(made.number, path)) deltas += depth > 0 ? 1 : 0;
    }
    kept[made.number] = files;
    for (const auto& [number, content] : kept) {
      ASSERT_TRUE(fetched(number) == content) << "backup " << number << " after " << made.number;
    }
  }
  EXPECT_GT(deltas, 0u);
}

}  // namespace
}  // namespace walvault
