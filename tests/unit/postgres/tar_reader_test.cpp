#include "postgres/tar_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "support/damage.h"
#include "support/errors.h"

namespace walvault {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::size_t block_bytes = 512;

// A header as tarCreateHeader() of src/port/tar.c fills it.
struct Header {
  std::string name;
  char type = '0';
  std::uint64_t size = 0;
  std::uint64_t mtime = 1'790'000'000;
  std::uint64_t mode = 0600;
  std::string link = {};
  std::string prefix = {};
};

void put_text(Bytes& block, std::size_t offset, std::string_view text) {
  std::copy(text.begin(), text.end(), block.begin() + static_cast<std::ptrdiff_t>(offset));
}

// print_tar_number(): octal with a blank behind, or base 256 after 0x80.
void put_number(Bytes& block, std::size_t offset, std::size_t width, std::uint64_t value) {
  if (value < std::uint64_t{1} << ((width - 1) * 3)) {
    block[offset + --width] = ' ';
    while (width > 0) {
      block[offset + --width] = static_cast<std::uint8_t>('0' + (value & 7));
      value >>= 3;
    }
  } else {
    block[offset] = 0x80;
    while (width > 1) {
      block[offset + --width] = static_cast<std::uint8_t>(value);
      value >>= 8;
    }
  }
}

// Gives a changed block the checksum that fits.
void seal(Bytes& block) {
  std::uint64_t sum = 8 * ' ';
  for (std::size_t i = 0; i < block.size(); ++i) sum += i >= 148 && i < 156 ? 0u : block[i];
  put_number(block, 148, 8, sum);
}

Bytes block_of(const Header& header) {
  Bytes block(block_bytes);
  put_text(block, 0, header.name);
  put_number(block, 100, 8, header.mode);
  put_number(block, 108, 8, 26);  // uid
  put_number(block, 116, 8, 26);  // gid
  put_number(block, 124, 12, header.size);
  put_number(block, 136, 12, header.mtime);
  block[156] = static_cast<std::uint8_t>(header.type);
  put_text(block, 157, header.link);
  put_text(block, 257,
           std::string_view("ustar\0"
                            "00",
                            8));
  put_text(block, 265, "postgres");
  put_text(block, 297, "postgres");
  put_text(block, 345, header.prefix);
  seal(block);
  return block;
}

Bytes operator+(Bytes left, const Bytes& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

Bytes file(Header header, std::string_view content) {
  header.size = content.size();
  auto bytes = block_of(header);
  bytes.insert(bytes.end(), content.begin(), content.end());
  bytes.resize((bytes.size() + block_bytes - 1) / block_bytes * block_bytes);
  return bytes;
}

const Bytes end_blocks(2 * block_bytes);

// One line an event: "begin NAME", "data TEXT", "end".
using Events = std::vector<std::string>;

struct Outcome {
  Events events;  // the data of one file joined
  std::vector<TarEntry> entries;
};

Outcome read(ByteView stream, std::size_t piece = 65536) {
  Outcome outcome;
  auto& events = outcome.events;
  TarReader reader({.begin =
                        [&](const TarEntry& entry) {
                          events.push_back("begin " + entry.path);
                          outcome.entries.push_back(entry);
                        },
                    .data =
                        [&](ByteView bytes) {
                          if (!events.back().starts_with("data ")) events.emplace_back("data ");
                          events.back() += as_text(bytes);
                        },
                    .end = [&] { events.emplace_back("end"); }});
  for (std::size_t at = 0; at < stream.size(); at += piece) {
    reader.feed(stream.subspan(at, std::min(piece, stream.size() - at)));
  }
  reader.finish();
  return outcome;
}

TarEntry only_entry(const Bytes& stream) {
  const auto outcome = read(stream);
  EXPECT_EQ(outcome.entries.size(), 1u);
  return outcome.entries.empty() ? TarEntry{} : outcome.entries.front();
}

void expect_refused(ByteView stream) {
  expect_error(ErrorKind::corrupt, [&] { (void)read(stream); });
}

// One of each kind, with contents that end within and at a block's end.
Bytes sample() {
  return file({.name = "backup_label", .mode = 0640}, "START WAL LOCATION") +
         block_of({.name = "base/", .type = '5', .mode = 0700}) +
         file({.name = "base/1/1259"}, std::string(block_bytes, 'p')) +
         file({.name = "base/1/2619_vm"}, "") +
         block_of({.name = "pg_tblspc/16385", .type = '2', .mode = 0777, .link = "/srv/ts"}) +
         file({.name = "global/pg_control"}, std::string(block_bytes + 1, 'c'));
}

Events sample_events() {
  return {"begin backup_label",
          "data START WAL LOCATION",
          "end",
          "begin base",
          "end",
          "begin base/1/1259",
          "data " + std::string(block_bytes, 'p'),
          "end",
          "begin base/1/2619_vm",
          "end",
          "begin pg_tblspc/16385",
          "end",
          "begin global/pg_control",
          "data " + std::string(block_bytes + 1, 'c'),
          "end"};
}

TEST(TarReader, CallsBackInTheOrderOfTheStream) {
  EXPECT_EQ(read(sample() + end_blocks).events, sample_events());
}

TEST(TarReader, TakesTheStreamInPiecesOfAnySize) {
  const auto stream = sample() + end_blocks;
  for (const std::size_t piece : {1u, 2u, 3u, 7u, 100u, 511u, 512u, 513u, 1000u, 1024u, 1025u}) {
    EXPECT_EQ(read(stream, piece).events, sample_events()) << piece;
  }
}

TEST(TarReader, EndsEachEntryAsSoonAsItsLastByteIsThere) {
  bool ended = false;
  TarReader reader(
      {.begin = [](const TarEntry&) {}, .data = [](ByteView) {}, .end = [&] { ended = true; }});
  const auto stream = file({.name = "a"}, "123");
  reader.feed(ByteView(stream).first(block_bytes + 2));
  EXPECT_FALSE(ended);
  reader.feed(ByteView(stream).subspan(block_bytes + 2, 1));
  EXPECT_TRUE(ended);
}

TEST(TarReader, ReadsWhatAHeaderSays) {
  const auto entry =
      only_entry(file({.name = "base/1/1259", .mtime = 1'790'000'123, .mode = 0640}, "12345"));
  EXPECT_EQ(entry.kind, TarEntryKind::file);
  EXPECT_EQ(entry.path, "base/1/1259");
  EXPECT_EQ(entry.size, 5u);
  EXPECT_EQ(entry.mode, 0640u);
  EXPECT_EQ(entry.mtime, 1'790'000'123);
  EXPECT_EQ(entry.link_target, "");
}

TEST(TarReader, KeepsOnlyThePermissionBits) {
  EXPECT_EQ(only_entry(file({.name = "a", .mode = 0100640}, "")).mode, 0640u);
}

TEST(TarReader, ReadsDirectoriesWithoutTheirSlashAndWithoutASize) {
  const auto entry = only_entry(block_of({.name = "base/", .type = '5', .mode = 0700}));
  EXPECT_EQ(entry.kind, TarEntryKind::directory);
  EXPECT_EQ(entry.path, "base");
  EXPECT_EQ(entry.size, 0u);
}

TEST(TarReader, ReadsLinksWithTheirTarget) {
  const auto entry =
      only_entry(block_of({.name = "pg_tblspc/16385", .type = '2', .link = "/srv/fast disk"}));
  EXPECT_EQ(entry.kind, TarEntryKind::symlink);
  EXPECT_EQ(entry.link_target, "/srv/fast disk");
}

TEST(TarReader, ReadsNamesThatFillTheirFields) {
  const std::string name(100, 'n');
  const std::string link(100, 'l');
  const std::string prefix(155, 'p');
  const auto entry =
      only_entry(block_of({.name = name, .type = '2', .link = link, .prefix = prefix}));
  EXPECT_EQ(entry.path, prefix + "/" + name);
  EXPECT_EQ(entry.link_target, link);
}

TEST(TarReader, DropsALeadingDot) {
  EXPECT_EQ(only_entry(file({.name = "./base/1/1259"}, "")).path, "base/1/1259");
  EXPECT_EQ(only_entry(block_of({.name = "./", .type = '5'})).path, "");
  EXPECT_EQ(only_entry(block_of({.name = ".", .type = '5'})).path, "");
}

TEST(TarReader, KeepsDotsThatBelongToAName) {
  for (const char* name : {"..a", "a..", "a/..b", ".hidden", "a.b/c...d"}) {
    EXPECT_EQ(only_entry(file({.name = name}, "")).path, name);
  }
}

TEST(TarReader, RefusesPathsThatLeaveTheDirectory) {
  for (const char* name : {"..", "../a", "a/..", "a/../b", "./../a", "a/b/../../../c", "/", "//",
                           "/etc/passwd", "//etc", ".//etc", "a//b", "a/./b", "a/."}) {
    SCOPED_TRACE(name);
    expect_refused(file({.name = name}, ""));
    expect_refused(block_of({.name = name, .type = '5'}));
    expect_refused(block_of({.name = name, .type = '2', .link = "x"}));
  }
}

TEST(TarReader, RefusesPathsThatLeaveTheDirectoryByTheirPrefix) {
  expect_refused(file({.name = "passwd", .prefix = "/etc"}, ""));
  expect_refused(file({.name = "passwd", .prefix = ".."}, ""));
  expect_refused(file({.name = "/passwd", .prefix = "etc"}, ""));
}

TEST(TarReader, RefusesAFileWithoutAName) {
  for (const char* name : {"", ".", "./"}) {
    SCOPED_TRACE(name);
    expect_refused(file({.name = name}, "x"));
  }
}

TEST(TarReader, RefusesKindsThatPostgresDoesNotSend) {
  for (const char type : {'1', '3', '4', '6', '7', 'x', 'g', 'L', 'K', 'S', ' '}) {
    SCOPED_TRACE(type);
    expect_refused(block_of({.name = "a", .type = type}));
  }
  EXPECT_EQ(only_entry(block_of({.name = "a", .type = '\0'})).kind, TarEntryKind::file);
}

TEST(TarReader, RefusesWhatIsNotInUstarForm) {
  auto block = block_of({.name = "a"});
  put_text(block, 257, "tar  ");
  seal(block);
  expect_refused(block);
}

TEST(TarReader, RefusesAWrongChecksum) {
  auto block = block_of({.name = "a"});
  block[0] = 'b';
  const auto error = expect_error(ErrorKind::corrupt, [&] { (void)read(block); });
  EXPECT_THAT(error.detail(), HasSubstr("checksum"));
}

TEST(TarReader, RefusesEverySingleBitFlipOfAHeader) {
  const auto block = block_of({.name = "base/1/1259"});
  const auto whole = only_entry(block);
  for_each_bit_flip(block, [&](ByteView damaged, std::size_t bit) {
    const bool in_checksum = bit / 8 >= 148 && bit / 8 < 156;
    if (!in_checksum) {
      SCOPED_TRACE(bit);
      expect_refused(damaged);
      return;
    }
    // A leading zero may become a blank: the number stays the same.
    try {
      const auto outcome = read(damaged);
      ASSERT_EQ(outcome.entries.size(), 1u) << bit;
      EXPECT_EQ(outcome.entries[0].path, whole.path) << bit;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::corrupt) << bit;
    }
  });
}

TEST(TarReader, RefusesNumbersThatAreNotOctal) {
  for (const std::size_t offset : {100u, 124u, 136u}) {
    auto block = block_of({.name = "a"});
    block[offset + 3] = '8';
    seal(block);
    expect_refused(block);
  }
}

// The header alone: the content of such a file does not fit a test.
std::optional<std::uint64_t> size_in(const Bytes& block) {
  std::optional<std::uint64_t> size;
  TarReader reader({.begin = [&](const TarEntry& entry) { size = entry.size; },
                    .data = [](ByteView) {},
                    .end = [] {}});
  reader.feed(block);
  if (size.value_or(0) > 0) expect_error(ErrorKind::corrupt, [&] { reader.finish(); });
  return size;
}

TEST(TarReader, ReadsSizesOfEightGibibytesAndMore) {
  for (const std::uint64_t size :
       {(1ull << 33) - 1, 1ull << 33, (1ull << 33) + 1, 32ull << 40, 1ull << 50}) {
    EXPECT_EQ(size_in(block_of({.name = "a", .size = size})), size);
  }
}

TEST(TarReader, RefusesSizesThatNoFileHas) {
  for (const std::uint64_t size : {(1ull << 50) + 1, 1ull << 63, ~0ull}) {
    const auto block = block_of({.name = "a", .size = size});
    expect_error(ErrorKind::corrupt, [&] { (void)size_in(block); });
  }
  for (const auto first : Bytes{0x81, 0xC0, 0xFF}) {
    auto forged = block_of({.name = "a", .size = 1ull << 33});
    forged[124] = first;
    seal(forged);
    SCOPED_TRACE(static_cast<int>(first));
    expect_error(ErrorKind::corrupt, [&] { (void)size_in(forged); });
  }
  auto wide = block_of({.name = "a", .size = 1ull << 33});
  wide[126] = 1;  // bit 72
  seal(wide);
  expect_error(ErrorKind::corrupt, [&] { (void)size_in(wide); });
}

TEST(TarReader, ReadsTimesBefore1970) {
  const auto before = static_cast<std::uint64_t>(std::int64_t{-86400});
  EXPECT_EQ(only_entry(file({.name = "a", .mtime = before}, "")).mtime, -86400);
}

TEST(TarReader, AcceptsStreamsWithAndWithoutEndBlocks) {
  for (const std::size_t blocks : {0u, 1u, 2u, 20u}) {
    EXPECT_EQ(read(sample() + Bytes(blocks * block_bytes)).events, sample_events()) << blocks;
  }
}

TEST(TarReader, AcceptsAStreamOfNothing) {
  EXPECT_TRUE(read({}).events.empty());
  EXPECT_TRUE(read(end_blocks).events.empty());
}

TEST(TarReader, RefusesWhatFollowsTheEnd) {
  expect_refused(end_blocks + file({.name = "a"}, ""));
  expect_refused(Bytes(block_bytes) + file({.name = "a"}, ""));
  expect_refused(end_blocks + Bytes(block_bytes, 1));
  expect_refused(end_blocks + Bytes{1});
}

TEST(TarReader, RefusesAStreamThatIsCutWithinAnEntry) {
  for_each_truncation(file({.name = "a"}, std::string(700, 'x')), [](ByteView cut) {
    if (cut.empty()) return;
    SCOPED_TRACE(cut.size());
    expect_refused(cut);
  });
}

TEST(TarReader, TellsWhatItHadReadBeforeTheDamage) {
  std::vector<std::string> begun;
  TarReader reader({.begin = [&](const TarEntry& entry) { begun.push_back(entry.path); },
                    .data = [](ByteView) {},
                    .end = [] {}});
  expect_error(ErrorKind::corrupt,
               [&] { reader.feed(file({.name = "good"}, "x") + Bytes(block_bytes, 7)); });
  EXPECT_THAT(begun, ElementsAre("good"));
}

}  // namespace
}  // namespace walvault
