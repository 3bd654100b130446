// TreeWriter and TreeReader together: what was written is read, and nothing is
// stored that need not be.
#include <gtest/gtest.h>

#include "codec/crc32c.h"
#include "repository/gc_plan.h"
#include "support/hooked_storage.h"
#include "support/memory_repository.h"
#include "support/test_data.h"
#include "support/tree_content.h"

namespace walvault {
namespace {

constexpr std::uint64_t kib = 1024;

class TreeRoundTrip : public testing::Test {
 protected:
  struct Run {
    std::string root_key;
    TreeWriter::Totals totals;
  };

  // One backup of what `fill` writes, borrowing from `parent`.
  Run back_up(const std::function<void(TreeWriter&)>& fill, const std::string& parent = "",
              TreeWriter::Options options = {}) {
    const auto number = ++runs_;
    const auto root_key = "backups/main/" + std::to_string(number) + "/1";
    const WriterSession session(made_.repository, made_.clock, id_of(number), root_key, parent);
    TreeWriter tree(session, options);
    fill(tree);
    const auto root = tree.finish();
    session.commit(encode_root(ObjectCodec(), root, root_key));
    return {root_key, tree.totals()};
  }
  Run back_up(const Files& files, const std::string& parent = "",
              TreeWriter::Options options = {}) {
    return back_up(
        [&](TreeWriter& tree) {
          for (const auto& [path, content] : files) write_tree_file(tree, path, content);
        },
        parent, options);
  }

  [[nodiscard]] TreeReader reader(const std::string& root_key) const {
    return {made_.repository, root_key};
  }
  [[nodiscard]] Files read_back(const std::string& root_key) {
    auto tree = reader(root_key);
    return read_tree(tree);
  }

  // The root names every pack that is needed, each once, and no other; its
  // sizes are right.
  void expect_exact_packs(const std::string& root_key) {
    auto tree = reader(root_key);
    std::set<PackName> named;
    for (const auto& entry : tree.root().packs.entries()) {
      EXPECT_TRUE(named.insert(entry.name).second) << "named twice: " << entry.name.key();
      EXPECT_EQ(made_.storage.find_size(entry.name.key()), entry.size);
    }
    EXPECT_EQ(named, packs_reached(tree));
  }

  [[nodiscard]] std::size_t packs_stored() { return keys_under(made_.storage, "packs/").size(); }

  MemoryRepository made_;
  std::uint8_t runs_ = 0;
};

const TreeWriter::Options tiny_packs{.compression = {},
                                     .jobs = 3,
                                     .data_pack = {.bytes_max = 300 * kib, .frames_max = 2},
                                     .metadata_pack = {.bytes_max = 2 * kib, .frames_max = 2}};

Files files_of_all_sizes() {
  Files files;
  std::uint64_t seed = 0;
  for (const std::uint64_t size :
       {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{2}, 8 * kib - 1, 8 * kib, 8 * kib + 1,
        128 * kib - 1, 128 * kib, 128 * kib + 1, 256 * kib - 1, 256 * kib, 256 * kib + 1, 384 * kib,
        512 * kib - 1, 512 * kib, 512 * kib + 1, 1024 * kib, 1301 * kib + 3}) {
    files["base/" + std::to_string(size)] = random_bytes(size, ++seed);
    files["zero/" + std::to_string(size)] = Bytes(size);
  }
  for (int i = 0; i < 300; ++i) {
    const auto random = random_bytes(2, 1000 + static_cast<std::uint64_t>(i));
    files["many/" + std::to_string(i)] =
        random_bytes(random[0] * std::uint64_t{random[1]}, 2000 + static_cast<std::uint64_t>(i));
  }
  return files;
}

TEST_F(TreeRoundTrip, GivesBackFilesOfAllSizes) {
  const auto files = files_of_all_sizes();
  const auto run = back_up(files);
  EXPECT_TRUE(read_back(run.root_key) == files);
  expect_exact_packs(run.root_key);
  EXPECT_EQ(run.totals.files, files.size());
  std::uint64_t size = 0;
  for (const auto& [path, content] : files) size += content.size();
  EXPECT_EQ(run.totals.size_bytes, size);
}

TEST_F(TreeRoundTrip, GivesBackFilesFromManyTinyPacks) {
  const auto files = files_of_all_sizes();
  const auto run = back_up(files, "", tiny_packs);
  EXPECT_GT(packs_stored(), 20u);
  EXPECT_TRUE(read_back(run.root_key) == files);
  expect_exact_packs(run.root_key);
}

TEST_F(TreeRoundTrip, DoesNotDependOnThePiecesThatBytesArriveIn) {
  const auto content = random_bytes(700'000, 1);
  for (const std::size_t piece : {std::size_t{1009}, std::size_t{262144}, std::size_t{700'000}}) {
    const auto run = back_up([&](TreeWriter& tree) { write_tree_file(tree, "f", content, piece); });
    EXPECT_TRUE(read_back(run.root_key) == (Files{{"f", content}}));
  }
}

TEST_F(TreeRoundTrip, KeepsWhatEntriesSay) {
  FileEntry file;
  file.path = "base/1";
  file.mode = 0640;
  file.mtime = 1'234'567'890;
  file.size = 5;
  FileEntry directory;
  directory.kind = EntryKind::directory;
  directory.path = "base";
  directory.mode = 0750;
  FileEntry link;
  link.kind = EntryKind::symlink;
  link.path = "pg_wal";
  link.link_target = "/srv/wal";
  std::uint32_t crc = 0;
  const auto run = back_up([&](TreeWriter& tree) {
    tree.add(directory);
    tree.begin_file(file);
    tree.append(as_bytes("hello"));
    crc = tree.end_file();
    tree.add(link);
  });

  auto tree = reader(run.root_key);
  const auto entries = entries_of(tree);
  ASSERT_EQ(entries.size(), 3u);
  EXPECT_EQ(crc, crc32c(as_bytes("hello")));
  EXPECT_EQ(entries.at("base/1").crc, crc);
  EXPECT_EQ(entries.at("base/1").mode, 0640u);
  EXPECT_EQ(entries.at("base/1").mtime, 1'234'567'890);
  EXPECT_EQ(entries.at("base"), directory);
  EXPECT_EQ(entries.at("pg_wal"), link);
  EXPECT_EQ(run.totals.files, 1u);
}

TEST_F(TreeRoundTrip, GivesBackStreamsBesideTheFiles) {
  const auto manifest = random_bytes(1'000'000, 1);
  const auto run = back_up([&](TreeWriter& tree) {
    write_tree_file(tree, "f", random_bytes(10, 2));
    tree.begin_stream("manifest");
    tree.append_to_stream("manifest", ByteView(manifest).first(300'000));
    tree.append_to_stream("manifest", ByteView(manifest).subspan(300'000));
    tree.end_stream("manifest");
    tree.begin_stream("nothing");
    tree.end_stream("nothing");
  });
  auto tree = reader(run.root_key);
  Bytes read;
  tree.read_stream("manifest",
                   [&](ByteView bytes) { read.insert(read.end(), bytes.begin(), bytes.end()); });
  EXPECT_TRUE(read == manifest);
  EXPECT_EQ(tree.root().stream("manifest").size, manifest.size());
  EXPECT_EQ(tree.root().stream("nothing").size, 0u);
  expect_exact_packs(run.root_key);
}

TEST_F(TreeRoundTrip, GivesBackTheZerosOfAStream) {
  auto content = random_bytes(4 * chunk_bytes, 1);
  std::fill(content.begin() + chunk_bytes, content.begin() + 2 * chunk_bytes, std::uint8_t{0});
  content.resize(4 * chunk_bytes + 100);
  const auto run = back_up([&](TreeWriter& tree) {
    tree.begin_stream("manifest");
    tree.append_to_stream("manifest", content);
    tree.end_stream("manifest");
  });
  auto tree = reader(run.root_key);
  Bytes read;
  tree.read_stream("manifest",
                   [&](ByteView bytes) { read.insert(read.end(), bytes.begin(), bytes.end()); });
  EXPECT_TRUE(read == content);
  EXPECT_EQ(run.totals.size_bytes, 0u);
  EXPECT_EQ(run.totals.new_bytes, 0u);
  EXPECT_EQ(run.totals.zero_bytes, 0u);
}

TEST_F(TreeRoundTrip, ReusesFilesUnread) {
  Files files{{"empty", {}},
              {"small", random_bytes(5000, 1)},
              {"large", random_bytes(1'000'000, 2)},
              {"sparse", Bytes(700'000)}};
  std::ranges::copy(random_bytes(100, 3), files["sparse"].begin() + 300'000);
  const auto first = back_up(files);
  const auto entry_of = [&](const std::string& path) {
    FileEntry entry;
    entry.path = path;
    entry.mode = 0640;
    entry.size = files.at(path).size();
    return entry;
  };
  const auto second = back_up(
      [&](TreeWriter& tree) {
        for (const auto& [path, content] : files) {
          EXPECT_EQ(tree.reuse_file(entry_of(path)), crc32c(content)) << path;
        }
        auto other = entry_of("large");
        --other.size;
        EXPECT_FALSE(tree.reuse_file(other)) << "it has another size";
        other = entry_of("small");
        other.path = "none";
        EXPECT_FALSE(tree.reuse_file(other));
        // Refused, it may be read.
        write_tree_file(tree, "none", files.at("small"));
      },
      first.root_key);
  EXPECT_EQ(second.totals.new_bytes, 5000u) << "what had to be read";
  EXPECT_EQ(second.totals.size_bytes, first.totals.size_bytes + 5000);
  EXPECT_EQ(second.totals.zero_bytes, first.totals.zero_bytes);
  files["none"] = files.at("small");
  EXPECT_TRUE(read_back(second.root_key) == files);
  expect_exact_packs(second.root_key);
  auto tree = reader(second.root_key);
  EXPECT_EQ(entries_of(tree).at("large").mode, 0640u);
  EXPECT_EQ(entries_of(tree).at("large").crc, crc32c(files.at("large")));
}

TEST_F(TreeRoundTrip, GivesBackATreeOfNothing) {
  const auto run = back_up(Files{});
  EXPECT_TRUE(read_back(run.root_key).empty());
  expect_exact_packs(run.root_key);
  EXPECT_EQ(packs_stored(), 0u);
}

TEST_F(TreeRoundTrip, StoresNothingButTheFileTableOfWhatDidNotChange) {
  const auto files = files_of_all_sizes();
  const auto first = back_up(files);
  const auto packs_before = packs_stored();
  const auto second = back_up(files, first.root_key);

  EXPECT_EQ(second.totals.new_bytes, 0u);
  EXPECT_EQ(packs_stored(), packs_before + 1);  // of metadata
  EXPECT_LT(second.totals.stored_bytes, 40'000u);
  EXPECT_EQ(second.totals.size_bytes, first.totals.size_bytes);
  EXPECT_TRUE(read_back(second.root_key) == files);
  expect_exact_packs(second.root_key);

  // Maps are the parent's own.
  auto before = reader(first.root_key);
  auto after = reader(second.root_key);
  const auto old_entry = entries_of(before).at("base/1048576");
  const auto new_entry = entries_of(after).at("base/1048576");
  ASSERT_EQ(old_entry.maps.size(), 1u);
  EXPECT_EQ(new_entry.maps.at(0).id, old_entry.maps.at(0).id);
  EXPECT_EQ(after.root().packs.at(new_entry.maps.at(0).pack).name,
            before.root().packs.at(old_entry.maps.at(0).pack).name);
}

TEST_F(TreeRoundTrip, StaysWholeOverAChainOfBackups) {
  auto files = files_of_all_sizes();
  std::string parent;
  std::map<std::string, Files> history;
  for (std::uint64_t round = 0; round < 6; ++round) {
    const auto run = back_up(files, parent, round % 2 == 0 ? tiny_packs : TreeWriter::Options{});
    history[run.root_key] = files;
    parent = run.root_key;
    // Some files change in a place, some vanish, some come.
    std::uint64_t i = 0;
    for (auto& [path, content] : files) {
      if (++i % 7 == round && !content.empty()) content[content.size() / 2] ^= 0x55;
      if (i % 31 == round) content.resize(content.size() + 5000, 7);
    }
    files.erase("many/" + std::to_string(round));
    files["new/" + std::to_string(round)] = random_bytes(50'000, 5000 + round);
  }
  for (const auto& [root_key, content] : history) {
    EXPECT_TRUE(read_back(root_key) == content) << root_key;
    expect_exact_packs(root_key);
  }
}

TEST_F(TreeRoundTrip, StoresOfAChangedFileTheChangedChunkAlone) {
  Files files{{"base/1", random_bytes(10 * chunk_bytes + 100, 1)},
              {"base/2", random_bytes(3 * chunk_bytes, 2)}};
  const auto first = back_up(files);
  files["base/1"][4 * chunk_bytes + 17] ^= 1;
  const auto second = back_up(files, first.root_key);
  EXPECT_EQ(second.totals.new_bytes, chunk_bytes);
  EXPECT_TRUE(read_back(second.root_key) == files);
  expect_exact_packs(second.root_key);
}

TEST_F(TreeRoundTrip, StoresOfAGrownFileWhatIsNew) {
  Files files{{"base/1", random_bytes(4 * chunk_bytes, 1)}};
  const auto first = back_up(files);
  const auto more = random_bytes(8192, 2);
  files["base/1"].insert(files["base/1"].end(), more.begin(), more.end());
  const auto second = back_up(files, first.root_key);
  EXPECT_EQ(second.totals.new_bytes, 8192u);
  files["base/1"].resize(2 * chunk_bytes);
  const auto third = back_up(files, second.root_key);
  EXPECT_EQ(third.totals.new_bytes, 0u);
  EXPECT_TRUE(read_back(third.root_key) == files);
  expect_exact_packs(third.root_key);
}

TEST_F(TreeRoundTrip, FindsAFileAgainThatGrewFromOneChunkToMany) {
  Files files{{"base/1", random_bytes(chunk_bytes, 1)}};
  const auto first = back_up(files);
  files["base/1"].resize(chunk_bytes + 1, 9);
  const auto second = back_up(files, first.root_key);
  EXPECT_EQ(second.totals.new_bytes, 1u);
  EXPECT_TRUE(read_back(second.root_key) == files);
}

TEST_F(TreeRoundTrip, StoresASmallFileOfARunOnce) {
  constexpr std::uint64_t filler_chunks = 80;
  const auto small = random_bytes(50'000, 1);
  const auto run = back_up([&](TreeWriter& tree) {
    write_tree_file(tree, "a/1", small);
    // More than can be under way at once (12 MiB): its group is full, and stored, before the
    // second is looked at, however late the workers run.
    for (std::uint64_t i = 0; i < 5; ++i) {
      write_tree_file(tree, "small/" + std::to_string(i), random_bytes(50'000, 50 + i));
    }
    for (std::uint64_t i = 0; i < filler_chunks; ++i) {
      write_tree_file(tree, "filler/" + std::to_string(i), random_bytes(chunk_bytes, 100 + i));
    }
    write_tree_file(tree, "b/1", small);
    write_tree_file(tree, "c/1", random_bytes(60'000, 2));
  });
  EXPECT_EQ(run.totals.new_bytes, 6 * small.size() + filler_chunks * chunk_bytes + 60'000);
  const auto files = read_back(run.root_key);
  EXPECT_TRUE(files.at("a/1") == small);
  EXPECT_TRUE(files.at("b/1") == small);
  expect_exact_packs(run.root_key);
}

TEST_F(TreeRoundTrip, KeepsMoreTinyFilesThanOneGroupCanCount) {
  // The count of a group has 16 bits; all of these would fit one by size.
  constexpr std::uint32_t files = 70'000;
  const auto run = back_up([](TreeWriter& tree) {
    for (std::uint32_t i = 0; i < files; ++i) {
      ByteWriter content;
      content.varint(i + 1);
      write_tree_file(tree, "f" + std::to_string(i), content.bytes());
    }
  });
  auto tree = reader(run.root_key);
  std::uint32_t checked = 0;
  std::uint32_t seen = 0;
  tree.for_each_entry([&](FileEntry& entry) {
    // Every hundredth and the last ones, which a wrapped count would lose.
    const auto number = static_cast<std::uint32_t>(std::stoul(entry.path.substr(1)));
    ++seen;
    if (number % 700 != 0 && number < files - 10) return;
    ByteWriter content;
    content.varint(number + 1);
    EXPECT_EQ(ChunkReader(made_.storage, tree.root().packs, made_.clock).read(*entry.chunk),
              content.bytes());
    ++checked;
  });
  EXPECT_EQ(seen, files);
  EXPECT_GE(checked, 100u);
}

// Zeros, but for these parts, ascending by where they lie.
void write_sparse_file(TreeWriter& tree, const std::string& path, std::uint64_t size,
                       const std::map<std::uint64_t, Bytes>& parts) {
  static const Bytes zeros(chunk_bytes);
  FileEntry entry;
  entry.path = path;
  entry.size = size;
  tree.begin_file(std::move(entry));
  std::uint64_t at = 0;
  for (const auto& [begin, part] : parts) {
    for (; at < begin; at += std::min<std::uint64_t>(zeros.size(), begin - at)) {
      tree.append(ByteView(zeros).first(std::min<std::uint64_t>(zeros.size(), begin - at)));
    }
    tree.append(part);
    at += part.size();
  }
  (void)tree.end_file();
}

TEST_F(TreeRoundTrip, HoldsMapsOfAFileBeyondAGibibyte) {
  constexpr std::uint64_t size = (1u << 30) + 5 * chunk_bytes + 1000;
  const auto first_data = random_bytes(chunk_bytes, 1);
  const auto middle_data = random_bytes(10'000, 2);
  const auto last_data = random_bytes(1000, 3);
  constexpr std::uint64_t middle_at = (1u << 30) - 5000;  // across the maps' border
  const auto fill = [&](std::uint8_t change) {
    return [&, change](TreeWriter& tree) {
      auto last = last_data;
      last[5] ^= change;
      write_sparse_file(tree, "base/large", size,
                        {{0, first_data}, {middle_at, middle_data}, {size - last.size(), last}});
    };
  };
  const auto check = [&](const std::string& root_key, std::uint8_t change) {
    auto tree = reader(root_key);
    const auto entry = entries_of(tree).at("base/large");
    ASSERT_EQ(entry.maps.size(), 2u);
    const auto refs = chunks_of(tree, entry);
    ASSERT_EQ(refs.size(), 4096u + 6);
    std::map<std::uint64_t, Bytes> data;
    for (std::size_t i = 0; i < refs.size(); ++i) {
      if (!refs[i].zero) {
        data[i] = ChunkReader(made_.storage, tree.root().packs, made_.clock).read(refs[i]);
      }
    }
    ASSERT_EQ(data.size(), 4u);
    EXPECT_TRUE(data.at(0) == first_data);
    EXPECT_TRUE(
        std::ranges::equal(ByteView(data.at(4095)).last(5000), ByteView(middle_data).first(5000)));
    EXPECT_TRUE(
        std::ranges::equal(ByteView(data.at(4096)).first(5000), ByteView(middle_data).last(5000)));
    auto last = last_data;
    last[5] ^= change;
    EXPECT_TRUE(data.at(4101) == last);
  };

  const auto first = back_up(fill(0));
  check(first.root_key, 0);
  EXPECT_EQ(first.totals.size_bytes, size);
  EXPECT_EQ(first.totals.zero_bytes, size - 3 * chunk_bytes - 1000);
  EXPECT_EQ(first.totals.new_bytes, 3 * chunk_bytes + 1000);
  expect_exact_packs(first.root_key);

  const auto second = back_up(fill(1), first.root_key);
  check(second.root_key, 1);
  EXPECT_EQ(second.totals.new_bytes, 1000u);
  // The first GiB's map is the parent's own; the second is new.
  auto before = reader(first.root_key);
  auto after = reader(second.root_key);
  const auto old_maps = entries_of(before).at("base/large").maps;
  const auto new_maps = entries_of(after).at("base/large").maps;
  EXPECT_EQ(new_maps.at(0).id, old_maps.at(0).id);
  EXPECT_EQ(after.root().packs.at(new_maps.at(0).pack).name,
            before.root().packs.at(old_maps.at(0).pack).name);
  EXPECT_NE(new_maps.at(1).id, old_maps.at(1).id);
  expect_exact_packs(second.root_key);
}

TEST_F(TreeRoundTrip, NamesAPackOnceThoughTwoWereFilledAlike) {
  // Chunks of full size are not looked up within a run, so two packs of the
  // same chunks come to the same digest.
  const auto content = random_bytes(4 * chunk_bytes, 1);
  const Files files{{"a", content}, {"b", content}, {"c", content}};
  const auto run = back_up(
      files, "",
      {.compression = {}, .jobs = 2, .data_pack = {.bytes_max = 64u << 20, .frames_max = 4}});
  EXPECT_TRUE(read_back(run.root_key) == files);
  expect_exact_packs(run.root_key);
}

TEST_F(TreeRoundTrip, GoesOnWithTheParentsPacksWhenTheParentIsDeletedMeanwhile) {
  // Its pin keeps the packs; the root may go.
  const auto files = files_of_all_sizes();
  const auto first = back_up(files);
  const auto second = back_up(
      [&](TreeWriter& tree) {
        made_.storage.remove({first.root_key});
        for (const auto& [path, content] : files) write_tree_file(tree, path, content);
      },
      first.root_key);
  EXPECT_EQ(second.totals.new_bytes, 0u);
  EXPECT_TRUE(read_back(second.root_key) == files);
}

TEST_F(TreeRoundTrip, BorrowsPackByPackWhatIsNotCondemned) {
  const auto files = files_of_all_sizes();
  const auto first = back_up(files, "", tiny_packs);
  const auto root = reader(first.root_key).root();
  GcPlan plan{.created = {}, .condemned = {}};
  for (std::uint32_t i = 0; i < root.packs.entries().size(); i += 3) {
    plan.condemned.add(root.packs.at(i).name, root.packs.at(i).size);
  }
  ASSERT_TRUE(made_.repository.put_sealed(ObjectKind::plan, "plans/1", encode_gc_plan(plan)));

  const auto second = back_up(files, first.root_key, tiny_packs);
  EXPECT_GT(second.totals.new_bytes, 0u);
  EXPECT_LT(second.totals.new_bytes, first.totals.new_bytes);
  for (const auto& entry : plan.condemned.entries()) {
    EXPECT_FALSE(reader(second.root_key).root().packs.find(entry.name));
    made_.storage.remove({entry.name.key()});  // as gc will
  }
  EXPECT_TRUE(read_back(second.root_key) == files);
  expect_exact_packs(second.root_key);
}

TEST_F(TreeRoundTrip, RefusesAFileOfAnotherLengthThanAnnounced) {
  const WriterSession session(made_.repository, made_.clock, id_of(1), "backups/main/x/1", "");
  FileEntry entry;
  entry.path = "f";
  entry.size = 10;
  {
    TreeWriter tree(session, {});
    tree.begin_file(entry);
    EXPECT_EQ(error_of([&] { tree.append(Bytes(11)); }), "corrupt");
  }
  {
    TreeWriter tree(session, {});
    tree.begin_file(entry);
    tree.append(Bytes(9));
    EXPECT_EQ(error_of([&] { (void)tree.end_file(); }), "corrupt");
  }
}

TEST_F(TreeRoundTrip, PassesOnThatAPackCouldNotBeStored) {
  HookedStorage hooked(made_.storage);
  hooked.before = [](std::string_view operation, std::string_view key) {
    if (operation == "put" && key.starts_with("packs/")) {
      throw Error(ErrorKind::unavailable, "the disk is full");
    }
  };
  const auto repository = Repository::open(hooked);
  const WriterSession session(repository, made_.clock, id_of(1), "backups/main/x/1", "");
  TreeWriter tree(session, tiny_packs);
  EXPECT_EQ(error_of([&] {
              for (const auto& [path, content] : files_of_all_sizes()) {
                write_tree_file(tree, path, content);
              }
              (void)tree.finish();
            }),
            "unavailable");
}

TEST_F(TreeRoundTrip, NoticesEveryFlippedBitOfAPack) {
  // With what a flip does to the frame header of each chunk.
  const Files files{{"a", random_bytes(700, 1)}, {"b", Bytes(900, 3)}};
  const auto run = back_up(files);
  auto tree = reader(run.root_key);
  const auto entries = entries_of(tree);
  const auto ref = *entries.at("a").chunk;
  ASSERT_EQ(entries.at("b").chunk->frame.offset, ref.frame.offset);  // a group
  const auto key = tree.root().packs.at(ref.pack).name.key();
  const auto pack = *made_.storage.find(key, whole_object);
  for (std::size_t byte = ref.frame.offset; byte < ref.frame.offset + ref.frame.length; ++byte) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      auto damaged = pack;
      damaged[byte] ^= static_cast<std::uint8_t>(1u << bit);
      made_.storage.overwrite(key, damaged);
      EXPECT_EQ(error_of([&] {
                  (void)ChunkReader(made_.storage, tree.root().packs, made_.clock).read(ref);
                }),
                "corrupt")
          << "byte " << byte;
    }
  }
}

TEST_F(TreeRoundTrip, NoticesAFrameThatHoldsAnotherChunk) {
  const auto run = back_up(Files{{"a", random_bytes(300'000, 1)}});
  auto tree = reader(run.root_key);
  const auto refs = chunks_of(tree, entries_of(tree).at("a"));
  ASSERT_EQ(refs.size(), 2u);
  const auto& packs = tree.root().packs;
  auto wrong = refs[0];
  wrong.frame = refs[1].frame;
  const auto words =
      words_of_error([&] { (void)ChunkReader(made_.storage, packs, made_.clock).read(wrong); });
  EXPECT_NE(words.find("another digest"), std::string::npos) << words;
  EXPECT_NE(words.find(packs.at(wrong.pack).name.key()), std::string::npos) << words;
  wrong = refs[0];
  wrong.frame.ordinal = 1;
  EXPECT_EQ(error_of([&] { (void)ChunkReader(made_.storage, packs, made_.clock).read(wrong); }),
            "corrupt");
}

TEST_F(TreeRoundTrip, SaysWhichPackIsGone) {
  const auto run = back_up(Files{{"a", random_bytes(1000, 1)}});
  auto tree = reader(run.root_key);
  const auto ref = *entries_of(tree).at("a").chunk;
  const auto key = tree.root().packs.at(ref.pack).name.key();
  made_.storage.remove({key});
  const auto words = words_of_error(
      [&] { (void)ChunkReader(made_.storage, tree.root().packs, made_.clock).read(ref); });
  EXPECT_NE(words.find(key), std::string::npos) << words;
  EXPECT_NE(words.find("gone"), std::string::npos) << words;
}

TEST_F(TreeRoundTrip, RefusesAMapThatDoesNotCoverItsFile) {
  const auto run = back_up(Files{{"a", random_bytes(3 * chunk_bytes, 1)}});
  auto tree = reader(run.root_key);
  auto entry = entries_of(tree).at("a");
  EXPECT_EQ(tree.chunks_of_map(entry, 0).size(), 3u);
  entry.size += chunk_bytes;
  EXPECT_EQ(error_of([&] { (void)tree.chunks_of_map(entry, 0); }), "corrupt");
  entry.size -= 2 * chunk_bytes;
  EXPECT_EQ(error_of([&] { (void)tree.chunks_of_map(entry, 0); }), "corrupt");
}

// In an object store each read takes its time, and costs money.
TEST_F(TreeRoundTrip, ReadsListsAheadOfWhatIsAskedFor) {
  constexpr int files = 400;
  const auto run = back_up([](TreeWriter& tree) {
    for (int i = 0; i < files; ++i) {
      Bytes content(chunk_bytes + 100, static_cast<std::uint8_t>(i % 250 + 1));
      content[0] = static_cast<std::uint8_t>(i / 250 + 1);
      write_tree_file(tree, "f" + std::to_string(i), content);
    }
  });
  HookedStorage hooked(made_.storage);
  int reads = 0;
  hooked.before = [&](std::string_view operation, std::string_view) {
    if (operation == "find") ++reads;
  };
  const auto repository = Repository::open(hooked);
  TreeReader tree(repository, run.root_key);
  reads = 0;
  std::size_t refs = 0;
  tree.for_each_entry([&](FileEntry& entry) { refs += tree.chunks_of_map(entry, 0).size(); });
  EXPECT_EQ(refs, 2u * files);
  EXPECT_LT(reads, 10);
  // And back again, from what is kept.
  reads = 0;
  tree.for_each_entry([&](FileEntry& entry) { (void)tree.chunks_of_map(entry, 0); });
  EXPECT_EQ(reads, 0);
}

// Of one file, all of whose chunks lie in one pack.
class ChunkReaderTest : public TreeRoundTrip {
 protected:
  void store(Bytes content) {
    content_ = std::move(content);
    run_ = back_up(Files{{"a", content_}});
    tree_ = std::make_unique<TreeReader>(made_.repository, run_.root_key);
    refs_ = chunks_of(*tree_, entries_of(*tree_).at("a"));
    hooked_.before = [this](std::string_view operation, std::string_view) {
      if (operation == "find") ++reads_;
    };
  }
  [[nodiscard]] ChunkReader reader_of_chunks() {
    return {hooked_, tree_->root().packs, made_.clock};
  }
  [[nodiscard]] std::string key() const { return tree_->root().packs.at(refs_[0].pack).name.key(); }
  void expect_chunk(ChunkReader& from, std::size_t i) {
    const auto begin = i * chunk_bytes;
    const auto expected = ByteView(content_).subspan(
        begin, std::min<std::size_t>(chunk_bytes, content_.size() - begin));
    EXPECT_TRUE(std::ranges::equal(from.read(refs_.at(i)), expected)) << i;
  }

  Bytes content_;
  Run run_;
  std::unique_ptr<TreeReader> tree_;
  std::vector<ChunkRef> refs_;
  HookedStorage hooked_{made_.storage};
  int reads_ = 0;
};

// Frames that are larger than the first window, and more of them than are kept.
TEST_F(ChunkReaderTest, ReadsMoreThanItKeeps) {
  store(random_bytes(60 * chunk_bytes + 1000, 1));
  auto forwards = reader_of_chunks();
  for (std::size_t i = 0; i < refs_.size(); ++i) expect_chunk(forwards, i);
  EXPECT_LT(reads_, 40);
  reads_ = 0;
  expect_chunk(forwards, 0);
  EXPECT_EQ(reads_, 1);
  auto backwards = reader_of_chunks();
  for (std::size_t i = refs_.size(); i-- > 0;) expect_chunk(backwards, i);
}

// Frames of 20 kB: several in a window, the last one cut by its end.
class SmallFramesTest : public ChunkReaderTest {
 protected:
  SmallFramesTest() {
    Bytes content;
    for (std::uint32_t chunk = 0; chunk < 20; ++chunk) {
      const auto part = random_bytes(20'000, chunk);
      const auto end = content.size() + chunk_bytes;
      while (content.size() < end) {
        const auto more = std::min(part.size(), end - content.size());
        content.insert(content.end(), part.begin(),
                       part.begin() + static_cast<std::ptrdiff_t>(more));
      }
    }
    store(std::move(content));
  }
};

TEST_F(SmallFramesTest, AreReadSeveralAtATime) {
  auto reader = reader_of_chunks();
  for (std::size_t i = 0; i < refs_.size(); ++i) expect_chunk(reader, i);
  EXPECT_LE(reads_, 5);
}

TEST_F(SmallFramesTest, ADiskThatCannotReadBehindOneIsNothingToIt) {
  hooked_.before_read = [this](std::string_view, ByteRange range) {
    if (range.offset + range.length > refs_[1].frame.offset) {
      throw Error(ErrorKind::unavailable, "cannot read it").transient();
    }
  };
  auto reader = reader_of_chunks();
  expect_chunk(reader, 0);
  EXPECT_EQ(error_of([&] { (void)reader.read(refs_[1]); }), "unavailable");
}

TEST_F(SmallFramesTest, OfAPackThatIsCutShortOrGone) {
  auto cut = *made_.storage.find(key(), whole_object);
  cut.resize(refs_[1].frame.offset + 10);
  made_.storage.overwrite(key(), cut);
  auto reader = reader_of_chunks();
  expect_chunk(reader, 0);
  EXPECT_NE(words_of_error([&] { (void)reader.read(refs_[1]); }).find("cut short"),
            std::string::npos);
  made_.storage.remove({key()});
  auto later = reader_of_chunks();
  EXPECT_NE(words_of_error([&] { (void)later.read(refs_[0]); }).find("gone"), std::string::npos);
}

TEST_F(TreeRoundTrip, FindsNoTreeWhereThereIsNoRoot) {
  EXPECT_EQ(error_of([&] { (void)reader("backups/main/none/1"); }), "not_found");
}

}  // namespace
}  // namespace walvault
