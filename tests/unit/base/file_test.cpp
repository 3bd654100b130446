#include "base/file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "support/errors.h"
#include "support/temporary_directory.h"

namespace walvault {
namespace {

using testing::HasSubstr;

class Files : public testing::Test {
 protected:
  std::string put(const std::string& name, const std::string& content) {
    auto path = directory_.path(name);
    write_all(open_file(path, O_WRONLY | O_CREAT | O_TRUNC), as_bytes(content), path);
    return path;
  }
  static std::string content_of(const std::string& path) {
    return std::string(as_text(read_file(path, 1u << 20)));
  }
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(directory_.path())) {
      names.push_back(entry.path().filename());
    }
    return names;
  }

  TemporaryDirectory directory_;
};

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

TEST_F(Files, AreClosedOnceByTheDescriptorThatHoldsThem) {
  int number = -1;
  {
    auto file = open_file(put("a", ""), O_RDONLY);
    number = file.get();
    FileDescriptor moved(std::move(file));
    EXPECT_EQ(moved.get(), number);
    EXPECT_TRUE(is_open(number));
  }
  EXPECT_FALSE(is_open(number));
}

TEST_F(Files, AreClosedWhenAnotherTakesTheirPlace) {
  auto first = open_file(put("a", ""), O_RDONLY);
  const int number = first.get();
  first = open_file(put("b", ""), O_RDONLY);
  EXPECT_FALSE(is_open(number));
  EXPECT_TRUE(is_open(first.get()));
}

TEST_F(Files, AreNotInheritedByPrograms) {
  const auto file = open_file(put("a", ""), O_RDONLY);
  EXPECT_NE(::fcntl(file.get(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST_F(Files, ThatAreMissingAreUnavailableToOpenAndNothingToFind) {
  const auto missing = directory_.path("missing");
  const auto error =
      expect_error(ErrorKind::unavailable, [&] { (void)open_file(missing, O_RDONLY); });
  EXPECT_THAT(error.message(), HasSubstr(missing));
  EXPECT_FALSE(find_file(missing, O_RDONLY));
  EXPECT_FALSE(find_status(missing));

  const auto below_a_file = put("file", "") + "/x";
  EXPECT_FALSE(find_file(below_a_file, O_RDONLY));
  EXPECT_FALSE(find_status(below_a_file));
}

TEST_F(Files, AreFoundThroughLinks) {
  const auto path = put("target", "12345");
  const auto link = directory_.path("link");
  std::filesystem::create_symlink(path, link);
  ASSERT_TRUE(find_status(link));
  EXPECT_EQ(find_status(link)->st_size, 5);
  EXPECT_TRUE(find_file(link, O_RDONLY));
}

TEST_F(Files, AreReadUpToTheLimitAndNoFurther) {
  const auto path = put("five", "12345");
  EXPECT_EQ(read_file(path, 5).size(), 5u);
  const auto error = expect_error(ErrorKind::corrupt, [&] { (void)read_file(path, 4); });
  EXPECT_THAT(error.message(), HasSubstr(path));
  EXPECT_TRUE(read_file(put("empty", ""), 0).empty());
}

TEST_F(Files, AreReadWholeWhateverTheirLength) {
  for (const std::size_t length : {1u, 16383u, 16384u, 16385u, 32768u, 100000u}) {
    std::string content(length, 'x');
    content.back() = 'y';
    EXPECT_EQ(content_of(put("file", content)), content) << length;
  }
}

TEST_F(Files, AreReadThoughTheirStatusSaysTheyAreEmpty) {
  EXPECT_FALSE(read_file("/proc/self/status", 1u << 20).empty());
}

TEST_F(Files, AreReadFromAnOffsetUntilTheyEnd) {
  const auto path = put("file", "0123456789");
  const auto file = open_file(path, O_RDONLY);
  Bytes buffer(4);
  EXPECT_EQ(read_at(file, buffer, 3, path), 4u);
  EXPECT_EQ(as_text(buffer), "3456");
  EXPECT_EQ(read_at(file, buffer, 8, path), 2u);
  EXPECT_EQ(read_at(file, buffer, 10, path), 0u);
  EXPECT_EQ(read_at(file, buffer, 1000, path), 0u);
}

TEST_F(Files, AreWrittenAtAnOffset) {
  const auto path = put("file", "0123456789");
  write_all_at(open_file(path, O_WRONLY), as_bytes("abc"), 8, path);
  EXPECT_EQ(content_of(path), "01234567abc");
}

TEST_F(Files, ThatCannotBeWrittenAreNamed) {
  const auto path = put("file", "");
  const auto file = open_file(path, O_RDONLY);
  for (const auto& error :
       {expect_error(ErrorKind::unavailable, [&] { write_all(file, as_bytes("x"), path); }),
        expect_error(ErrorKind::unavailable,
                     [&] { write_all_at(file, as_bytes("x"), 0, path); })}) {
    EXPECT_THAT(error.message(), HasSubstr(path));
  }
}

TEST_F(Files, AreReplacedAsAWhole) {
  const auto path = put("conf", "the old and longer content");
  replace_file_durably(path, as_bytes("new"), 0600);
  EXPECT_EQ(content_of(path), "new");
  EXPECT_EQ(names(), std::vector<std::string>{"conf"});
}

TEST_F(Files, AreReplacedByRenamingSoThatTheOldContentIsNeverTouched) {
  const auto path = put("conf", "old");
  const auto other_name = directory_.path("other");
  std::filesystem::create_hard_link(path, other_name);
  replace_file_durably(path, as_bytes("new"), 0600);
  EXPECT_EQ(content_of(other_name), "old");
}

TEST_F(Files, AreReplacedWhereNoneWasWithTheModeAskedFor) {
  const auto path = directory_.path("conf");
  replace_file_durably(path, as_bytes("new"), 0600);
  EXPECT_EQ(content_of(path), "new");
  EXPECT_EQ(find_status(path)->st_mode & 0777u, 0600u);
}

TEST_F(Files, AreReplacedThoughAnEarlierAttemptLeftItsFile) {
  const auto path = directory_.path("conf");
  put("conf.walvault-new", "the longer remains of an earlier attempt");
  replace_file_durably(path, as_bytes("new"), 0600);
  EXPECT_EQ(content_of(path), "new");
}

TEST_F(Files, ThatCannotBeReplacedStayAsTheyAre) {
  const auto path = directory_.path("directory");
  std::filesystem::create_directory(path);
  expect_error(ErrorKind::unavailable, [&] { replace_file_durably(path, as_bytes("x"), 0600); });
  EXPECT_TRUE(std::filesystem::is_directory(path));
  expect_error(ErrorKind::unavailable,
               [&] { replace_file_durably(directory_.path("missing/conf"), as_bytes("x"), 0600); });
}

TEST_F(Files, OfADirectoryThatIsMissingCannotBeSynced) {
  EXPECT_NO_THROW(sync_directory(directory_.path()));
  expect_error(ErrorKind::unavailable, [&] { sync_directory(directory_.path("missing")); });
  expect_error(ErrorKind::unavailable, [&] { sync_directory(put("file", "")); });
}

TEST(ParentDirectory, IsWhatStandsBeforeTheLastSlash) {
  EXPECT_EQ(parent_directory("/srv/repo/file"), "/srv/repo");
  EXPECT_EQ(parent_directory("repo/file"), "repo");
  EXPECT_EQ(parent_directory("/file"), "/");
  EXPECT_EQ(parent_directory("file"), ".");
}

}  // namespace
}  // namespace walvault
