// A directory of segments that wait, and an archive that they are offered to one after another.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "archiving/push_ahead.h"
#include "support/archived_wal.h"
#include "support/hooked_storage.h"
#include "support/memory_repository.h"
#include "support/temporary_directory.h"
#include "support/test_data.h"
#include "support/wal_files.h"

namespace walvault {

class PushAheadTest : public testing::Test {
 protected:
  PushAheadTest() { std::filesystem::create_directories(directory_.path("pg_wal/archive_status")); }

  static WalSegmentSpec spec(std::uint64_t number) {
    WalSegmentSpec spec;
    spec.number = number;
    return spec;
  }
  static std::string name(std::uint64_t number) { return spec(number).name(); }
  [[nodiscard]] std::string path(const std::string& file) const {
    return directory_.path("pg_wal/" + file);
  }
  // Of that number, by another server that has the same history before it.
  void archive_others(const WalArchive& archive, std::uint64_t number) {
    auto content = chained_segment(1, number);
    content[100] ^= 1;
    archive_file(archive, name(number), content);
  }
  void make_ready(const std::string& file, ByteView content) const {
    std::ofstream(path(file), std::ios::binary) << as_text(content);
    std::ofstream(path("archive_status/" + file + ".ready"));
  }
  void make_ready(std::uint64_t number) const {
    make_ready(name(number), chained_segment(1, number));
  }

  PushAheadResult offer(const std::string& file, unsigned ahead = 4) {
    const Acknowledgements notes(directory_.path("notes"), archiver_, place_);
    auto result =
        push_and_ahead(archive_, path(file), made_.clock,
                       {.push = {.compression = {}, .threads = 2, .elsewhere = elsewhere_},
                        .ahead = ahead,
                        .uploads = uploads_},
                       &notes);
    // As the archiver does.
    std::filesystem::rename(path("archive_status/" + file + ".ready"),
                            path("archive_status/" + file + ".done"));
    return result;
  }
  PushAheadResult offer(std::uint64_t number, unsigned ahead = 4) {
    return offer(name(number), ahead);
  }
  [[nodiscard]] bool is_archived(std::uint64_t number) {
    return archive_.find_header(archive_.key_of(name(number))).has_value();
  }
  [[nodiscard]] std::vector<std::string> notes() const {
    std::vector<std::string> names;
    if (!std::filesystem::exists(directory_.path("notes"))) return names;
    for (const auto& entry : std::filesystem::directory_iterator(directory_.path("notes"))) {
      names.push_back(entry.path().filename().string());
    }
    std::ranges::sort(names);
    return names;
  }
  // How often a segment was written to the repository.
  [[nodiscard]] int puts_of(std::uint64_t number) { return puts_[archive_.key_of(name(number))]; }
  using Names = std::vector<std::string>;

  MemoryRepository made_;
  HookedStorage hooked_{made_.storage};
  Repository repository_ = Repository::open(hooked_);
  WalArchive archive_{repository_, test_cluster()};
  TemporaryDirectory directory_;
  Archiver archiver_{.pid = 7, .started = 100, .boot = "b"};
  std::map<std::string, int> puts_;
  unsigned uploads_ = 1;
  std::function<bool(const PushOptions::DoIn&)> elsewhere_ = {};
  std::string place_ = "here";

  void SetUp() override {
    hooked_.after = [&](std::string_view operation, std::string_view key) {
      const std::lock_guard lock(mutex_);
      if (operation == "put") ++puts_[std::string(key)];
    };
  }
  std::mutex mutex_;
};

}  // namespace walvault
