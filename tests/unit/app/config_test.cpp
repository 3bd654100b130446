#include "app/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "app/config_keys.h"
#include "base/file.h"
#include "support/errors.h"
#include "support/temporary_directory.h"

namespace walvault {
namespace {

using testing::HasSubstr;

class AConfig : public testing::Test {
 protected:
  AConfig() {
    clear_environment();
    options_.config = directory_.path("walvault.toml");
  }
  ~AConfig() override { clear_environment(); }

  static void clear_environment() {
    for (const char* name : {"WALVAULT_CONFIG", "WALVAULT_REPO", "WALVAULT_CLUSTER"}) {
      ::unsetenv(name);
    }
  }
  void write(const std::string& content) const {
    replace_file_durably(*options_.config, as_bytes(content), 0600);
  }
  Config load(const std::string& content) const {
    write(content);
    return load_config(options_);
  }
  Error expect_refused(const std::string& content) const {
    SCOPED_TRACE(content);
    return expect_error(ErrorKind::usage, [&] { (void)load(content); });
  }

  TemporaryDirectory directory_;
  GlobalOptions options_;
};

TEST_F(AConfig, SaysEverythingThereIsToSay) {
  const auto config = load(R"(
    [repository]
    url = "file:///srv/backup"
    compression = "zstd:3"
    wal_compression = "lz4"

    [defaults]
    jobs = 4

    [fetch]
    retry_for = "90s"

    [cluster.main]
    pg = "host=/run/postgresql user=postgres"

    [cluster.other]
  )");
  EXPECT_EQ(config.path, *options_.config);
  EXPECT_EQ(config.repository().url, "file:///srv/backup");
  EXPECT_EQ(config.data_compression, (CompressionSetting{Compression::zstd, 3}));
  EXPECT_EQ(config.wal_compression.algorithm, Compression::lz4);
  EXPECT_EQ(config.worker_threads(), 4u);
  EXPECT_EQ(config.fetch_retry_for, "90s");
  ASSERT_EQ(config.clusters.size(), 2u);
  EXPECT_EQ(config.clusters.at("main").pg, "host=/run/postgresql user=postgres");
  EXPECT_EQ(config.clusters.at("other").pg, std::nullopt);
}

TEST_F(AConfig, SaysWhatIsKept) {
  const auto config = load(R"(
    [cluster.main]
    keep_last = 7
    keep_for = "30d"
    keep_daily = 1
    keep_weekly = 2
    keep_monthly = 3
    keep_yearly = 4
    window = "12h"
    minimum_backups = 5
    expire = true
  )");
  const auto main = config.of_cluster("main");
  EXPECT_TRUE(main.expire);
  EXPECT_EQ(main.retention.keep_last, 7u);
  EXPECT_EQ(main.retention.keep_for, std::chrono::days(30));
  EXPECT_EQ(main.retention.keep_daily, 1u);
  EXPECT_EQ(main.retention.keep_weekly, 2u);
  EXPECT_EQ(main.retention.keep_monthly, 3u);
  EXPECT_EQ(main.retention.keep_yearly, 4u);
  EXPECT_EQ(main.retention.window, std::chrono::hours(12));
  EXPECT_EQ(main.retention.minimum_backups, 5u);
  EXPECT_FALSE(config.of_cluster("other").retention.has_rule());
  EXPECT_FALSE(config.of_cluster("other").expire);
  (void)expect_refused("[cluster.main]\nkeep_last = -1");
  (void)expect_refused("[cluster.main]\nkeep_last = \"7\"");
  (void)expect_refused("[cluster.main]\nminimum_backups = 0");
  (void)expect_refused("[cluster.main]\nwindow = \"30\"");
  (void)expect_refused("[cluster.main]\nexpire = \"yes\"");
}

TEST_F(AConfig, MayBeEmpty) {
  const auto config = load("");
  EXPECT_EQ(config.first_repository.url, "");
  EXPECT_EQ(config.data_compression, (CompressionSetting{Compression::zstd, 1}));
  EXPECT_EQ(config.wal_compression, (CompressionSetting{Compression::zstd, 1}));
  EXPECT_EQ(config.fetch_retry_for, "5min");
  EXPECT_GE(config.worker_threads(), 1u);
  EXPECT_TRUE(config.clusters.empty());
}

TEST_F(AConfig, ThatIsNamedMustExist) {
  const auto error = expect_error(ErrorKind::usage, [&] { (void)load_config(options_); });
  EXPECT_THAT(error.message(), HasSubstr(*options_.config));
  EXPECT_THAT(error.hint(), HasSubstr("--config"));
}

TEST_F(AConfig, NamesTheLineAndTheNearestKeyForOneThatIsNotKnown) {
  const auto url = expect_refused("[repository]\n\nurk = \"/x\"\n");
  EXPECT_THAT(url.message(), HasSubstr(*options_.config));
  EXPECT_THAT(url.detail(), HasSubstr("Line 3"));
  EXPECT_THAT(url.detail(), HasSubstr("\"urk\" in [repository]"));
  EXPECT_EQ(url.hint(), "Did you mean \"url\"?");

  EXPECT_EQ(expect_refused("[repository]\nwal_compresion = \"lz4\"\n").hint(),
            "Did you mean \"wal_compression\"?");
  EXPECT_EQ(expect_refused("[repositry]\n").hint(), "Did you mean \"repository\"?");
  EXPECT_EQ(expect_refused("[defaults]\njob = 1\n").hint(), "Did you mean \"jobs\"?");
  EXPECT_EQ(expect_refused("[fetch]\nretry_four = \"1s\"\n").hint(), "Did you mean \"retry_for\"?");
  EXPECT_EQ(expect_refused("[cluster.main]\npq = \"\"\n").hint(), "Did you mean \"pg\"?");
}

// Each of these reached what the parser takes for granted: the first three an assertion,
// the others (the last is U+FEF7) a place that the undefined behaviour sanitizer stops at.
TEST_F(AConfig, RefusesWhatTheParserDoesNotExpect) {
  for (const auto* content :
       {"[+]\n", "[[!]]\n", "[cluster.main]\npg = \"x\"\n[^\n", "\u00e9 = 1\n",
        "[repository]\n\u3001 = 1\n", "e.\xEF\xBB\xB7 = 1\n"}) {
    EXPECT_THAT(expect_refused(content).message(), HasSubstr(*options_.config)) << content;
  }
}

TEST_F(AConfig, PointsToTheExampleWhereNoKeyIsNear) {
  EXPECT_THAT(expect_refused("[repository]\ncolour = 1\n").hint(),
              HasSubstr("walvault.example.toml"));
  expect_refused("jobs = 4\n");  // at the top, where only sections belong
}

TEST_F(AConfig, RefusesValuesOfAnotherType) {
  for (const char* content :
       {"repository = \"/x\"\n", "[[repository]]\n", "[repository]\nurl = 5\n",
        "[repository]\nurl = [\"/x\"]\n", "[repository]\ncompression = 3\n",
        "[repository]\nwal_compression = true\n", "defaults = 4\n", "[defaults]\njobs = \"4\"\n",
        "[defaults]\njobs = 4.0\n", "[defaults]\njobs = true\n", "[fetch]\nretry_for = 300\n",
        "cluster = \"main\"\n", "[cluster]\nmain = \"host=x\"\n", "[cluster.main]\npg = 5432\n"}) {
    expect_refused(content);
  }
}

TEST_F(AConfig, SaysHowDeepDifferencesMayLie) {
  const auto depth = [&](const std::string& lines) {
    return load("[repository]\nurl = \"/x\"\n" + lines).delta_depth();
  };
  EXPECT_EQ(depth(""), 4u);
  EXPECT_EQ(depth("delta = \"auto\"\n"), 4u);
  EXPECT_EQ(depth("delta = \"always\"\ndelta_depth = 2\n"), 2u);
  EXPECT_EQ(depth("delta = \"never\"\ndelta_depth = 2\n"), 0u);
  EXPECT_THAT(expect_refused("[repository]\ndelta = \"sometimes\"\n").detail(),
              HasSubstr("auto, always and never"));
  EXPECT_THAT(expect_refused("[repository]\ndelta_depth = 9\n").detail(), HasSubstr("1 to 8"));
}

TEST_F(AConfig, RefusesValuesOutOfRange) {
  for (const char* content :
       {"[defaults]\njobs = 0\n", "[defaults]\njobs = -1\n", "[defaults]\njobs = 257\n",
        "[defaults]\njobs = 4294967297\n", "[repository]\ncompression = \"zstd:20\"\n",
        "[repository]\ncompression = \"gzip\"\n", "[fetch]\nretry_for = \"300\"\n",
        "[fetch]\nretry_for = \"-5min\"\n"}) {
    expect_refused(content);
  }
  EXPECT_EQ(load("[defaults]\njobs = 256\n").worker_threads(), 256u);
}

TEST_F(AConfig, NamesTheSettingWhoseValueIsRefused) {
  EXPECT_THAT(expect_refused("[repository]\ncompression = \"gzip\"\n").message(),
              HasSubstr("[repository] compression"));
  EXPECT_THAT(expect_refused("[fetch]\nretry_for = \"soon\"\n").message(),
              HasSubstr("[fetch] retry_for"));
  EXPECT_THAT(expect_refused("[repository]\n\nurl = 5\n").detail(), HasSubstr("Line 3: \"url\""));
}

TEST_F(AConfig, RefusesWhatDoesNotParseAndNamesTheLine) {
  EXPECT_THAT(expect_refused("[repository]\nurl = \"/x\n").detail(), HasSubstr("Line 2"));
  expect_refused("[repository\n");
  expect_refused("url\n");
  expect_refused("[repository]\nurl = \"/x\"\nurl = \"/y\"\n");
}

TEST_F(AConfig, GivesWayToTheCommandLine) {
  write("[repository]\nurl = \"/file\"\n[cluster.main]\n");
  options_.repo = "/option";
  options_.cluster = "other";
  const auto config = load_config(options_);
  EXPECT_EQ(config.repository().url, "/option");
  EXPECT_EQ(config.cluster(), "other");
}

TEST_F(AConfig, GivesWayToTheEnvironmentWhichGivesWayToTheCommandLine) {
  write("[repository]\nurl = \"/file\"\n[cluster.main]\n");
  ::setenv("WALVAULT_REPO", "/environment", 1);
  ::setenv("WALVAULT_CLUSTER", "other", 1);
  EXPECT_EQ(load_config(options_).repository().url, "/environment");
  EXPECT_EQ(load_config(options_).cluster(), "other");

  options_.repo = "/option";
  options_.cluster = "third";
  EXPECT_EQ(load_config(options_).repository().url, "/option");
  EXPECT_EQ(load_config(options_).cluster(), "third");
}

TEST_F(AConfig, IsFoundThroughTheEnvironment) {
  write("[repository]\nurl = \"/file\"\n");
  ::setenv("WALVAULT_CONFIG", options_.config->c_str(), 1);
  EXPECT_EQ(load_config({}).repository().url, "/file");
  ::setenv("WALVAULT_CONFIG", "/missing.toml", 1);
  EXPECT_EQ(load_config(options_).repository().url, "/file");
  expect_error(ErrorKind::usage, [] { (void)load_config({}); });
}

TEST_F(AConfig, KnowsFurtherRepositoriesByNumberAndByUrl) {
  write(
      "[repository]\nurl = \"/one\"\nretry_for = \"3min\"\n"
      "[repository.2]\nurl = \"s3://two\"\nregion = \"eu\"\nrequired = false\n"
      "[repository.3]\nurl = \"/three\"\n");
  const auto config = load_config(options_);
  EXPECT_EQ(config.repository().url, "/one");
  EXPECT_EQ(config.repository_at("2", {}).url, "s3://two");
  EXPECT_EQ(config.repository_at("s3://two", {}).object_store.region, "eu");
  EXPECT_EQ(config.repository_at("/four", config.first_repository).retry_for,
            std::chrono::minutes(3));
  EXPECT_EQ(config.repository_at("/four", {}).retry_for, std::chrono::minutes(2));
  expect_error(ErrorKind::usage, [&] { (void)config.repository_at("4", {}); });
  const auto beside = config.archived_beside();
  ASSERT_EQ(beside.size(), 2u);
  EXPECT_FALSE(beside.at(2).required);
  EXPECT_TRUE(beside.at(3).required);
  EXPECT_FALSE(config.is_remote());

  options_.repo = "/one";  // as `cluster add` writes it into archive_command
  EXPECT_EQ(load_config(options_).archived_beside().size(), 2u);
  options_.repo = "2";
  EXPECT_EQ(load_config(options_).repository().url, "s3://two");
  EXPECT_TRUE(load_config(options_).is_remote());
  EXPECT_EQ(load_config(options_).archived_beside().count(1), 1u);
  EXPECT_EQ(load_config(options_).archived_beside().count(2), 0u);
  EXPECT_EQ(load_config(options_).repository_text(), "2");
  for (const auto* spelling : {"file:///one", "/one/", "s3://two/", "s3://two"}) {
    options_.repo = spelling;
    EXPECT_EQ(load_config(options_).archived_beside().size(), 2u) << spelling;
    EXPECT_FALSE(load_config(options_).leaves_others_out()) << spelling;
  }
  EXPECT_EQ(load_config(options_).repository().object_store.region, "eu");
  options_.repo = "/elsewhere";
  EXPECT_TRUE(load_config(options_).archived_beside().empty());
  EXPECT_TRUE(load_config(options_).leaves_others_out());
}

TEST_F(AConfig, MayLeaveTheFirstRepositoryToTheCommandLine) {
  write("[repository]\ncompression = \"lz4\"\n[repository.2]\nurl = \"/two\"\n");
  options_.repo = "/one";
  EXPECT_EQ(load_config(options_).archived_beside().at(2).url, "/two");
  EXPECT_FALSE(load_config(options_).leaves_others_out());
}

TEST_F(AConfig, KnowsWhoseARepositoryIs) {
  EXPECT_EQ(load("[repository]\nurl = \"/x\"\n").repository().mode, 0700u);
  EXPECT_EQ(load("[repository]\nurl = \"/x\"\nmode = \"0750\"\n").repository().mode, 0750u);
  EXPECT_EQ(load("[repository]\nurl = \"/x\"\nmode = \"0770\"\n").repository().mode, 0770u);
  EXPECT_THAT(expect_refused("[repository]\nmode = \"0777\"\n").detail(), HasSubstr("0777"));
  expect_refused("[repository]\nmode = 750\n");
}

TEST_F(AConfig, RefusesAFurtherRepositoryThatIsNone) {
  EXPECT_THAT(expect_refused("[repository.2]\nregion = \"eu\"\n").detail(), HasSubstr("no url"));
  EXPECT_THAT(expect_refused("[repository]\n2 = \"x\"\n").detail(), HasSubstr("not a section"));
  EXPECT_THAT(expect_refused("[repository.2]\nurl = \"/x\"\ncompression = \"lz4\"\n").detail(),
              HasSubstr("[repository.2]"));
  EXPECT_THAT(expect_refused("[repository]\nurl = \"/x\"\n[repository.2]\nurl = \"/x\"\n").detail(),
              HasSubstr("same place"));
  EXPECT_THAT(
      expect_refused("[repository]\nurl = \"/x\"\n[repository.2]\nurl = \"file:///x/\"\n").detail(),
      HasSubstr("same place"));
  EXPECT_THAT(
      expect_refused("[repository.3]\nurl = \"/x\"\n[repository.2]\nurl = \"/x\"\n").detail(),
      HasSubstr("same place"));
  // One bucket's name at two endpoints.
  EXPECT_EQ(load("[repository]\nurl = \"s3://xyz\"\nendpoint = \"https://a\"\n"
                 "[repository.2]\nurl = \"s3://xyz\"\nendpoint = \"https://b\"\n")
                .archived_beside()
                .size(),
            1u);
  expect_refused(
      "[repository]\nurl = \"/x\"\n[repository.2]\nurl = \"s3://xyz\"\nmode = \"0750\"\n");
  expect_refused("[repository]\n2 = \"/x\"\n");
  expect_refused("[repository]\nrequired = true\n");
  expect_refused("[repository.1]\nurl = \"/x\"\n");
  expect_refused("[repository.22]\nurl = \"/x\"\n");
}

TEST_F(AConfig, TakesAnEmptyVariableForNone) {
  ::setenv("WALVAULT_REPO", "", 1);
  EXPECT_EQ(load("[repository]\nurl = \"/file\"\n").repository().url, "/file");
}

TEST_F(AConfig, NamesTheOnlyClusterWhenNoneWasAskedFor) {
  EXPECT_EQ(load("[cluster.main]\n").cluster(), "main");
}

TEST_F(AConfig, AsksWhichClusterWhenThereAreSeveralOrNone) {
  const auto several = load("[cluster.main]\n[cluster.other]\n");
  const auto error = expect_error(ErrorKind::usage, [&] { (void)several.cluster(); });
  EXPECT_THAT(error.detail(), HasSubstr("main, other"));
  EXPECT_THAT(error.hint(), HasSubstr("--cluster"));

  const auto none = load("");
  expect_error(ErrorKind::usage, [&] { (void)none.cluster(); });
}

TEST_F(AConfig, AsksForARepositoryWhenNoneIsNamed) {
  const auto config = load("");
  const auto error = expect_error(ErrorKind::usage, [&] { (void)config.repository(); });
  EXPECT_THAT(error.hint(), HasSubstr("--repo"));
}

// The example file is made of the table, and the table reads it.
TEST_F(AConfig, TheExampleIsMadeOfTheTableOfKeys) {
  constexpr auto path = WALVAULT_SOURCE_DIR "/docs/walvault.example.toml";
  if (::getenv("WALVAULT_WRITE_PAGES") != nullptr) {
    replace_file_durably(path, as_bytes(config_example()), 0644);
  }
  EXPECT_EQ(as_text(read_file(path, 1u << 20)), config_example())
      << "Write it anew with: WALVAULT_WRITE_PAGES=1 build/dev/bin/unit_app";
  const auto config = load(config_example());
  EXPECT_EQ(config.repository().url, "/backup/walvault");
  EXPECT_EQ(config.clusters.size(), 1u);
  EXPECT_TRUE(config.further_repositories.empty());
}

// With every key set, each is read, and none is unknown where it is shown.
TEST_F(AConfig, EveryKeyOfTheExampleIsRead) {
  std::string all;
  for (const auto& section : config_sections()) {
    all.append("[").append(section.name).append("]\n");
    if (section.name == "repository.2") all += "url = \"s3://other/place\"\n";
    for (const auto& key : section.keys) {
      // Of a directory: the place below is a bucket.
      const bool is_url = key.name == "url";
      if (key.name == "mode") continue;
      all.append(key.name).append(" = ").append(is_url ? "\"s3://bucket\"" : key.example);
      all += "\n";
    }
  }
  const auto config = load(all);
  EXPECT_EQ(config.first_repository.object_store.profile, "default");
  EXPECT_FALSE(config.further_repositories.at(2).required);
  EXPECT_EQ(config.cache_path, "/var/cache/walvault");
  EXPECT_EQ(config.worker_threads(), 4u);
  EXPECT_EQ(config.segments_ahead(), 15u);
  EXPECT_EQ(config.segments_prefetched(), 8u);
  EXPECT_EQ(config.of_cluster("main").retention.keep_yearly, 2u);
  EXPECT_TRUE(config.of_cluster("main").expire);
}

}  // namespace
}  // namespace walvault
