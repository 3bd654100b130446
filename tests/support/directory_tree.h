// What lies below a directory, to be compared with what lies below another.
#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <boost/filesystem.hpp>
#include <map>
#include <string>

#include "support/main_job.h"

namespace walvault {

// Of every file below a directory and of the directories themselves: mode and
// content, by path. Left out is what belongs to one backup.
[[nodiscard]] inline std::map<std::string, std::string> tree_below(const std::string& root) {
  std::map<std::string, std::string> tree;
  for (boost::filesystem::recursive_directory_iterator it(root), end; it != end; ++it) {
    const auto path = it->path().string().substr(root.size() + 1);
    // Those name the very backup, and recovery.signal the plan.
    if (path == "backup_label" || path == "backup_manifest" || path == "global/pg_control" ||
        path == "recovery.signal") {
      continue;
    }
    struct stat status {};
    if (::lstat(it->path().c_str(), &status) != 0) continue;
    auto& text = tree[path];
    text = std::to_string(status.st_mode) + " ";
    if (S_ISLNK(status.st_mode)) text += "link";
    if (!S_ISREG(status.st_mode)) continue;
    text += read_text(it->path().string());
  }
  return tree;
}

inline void expect_same_trees(const std::map<std::string, std::string>& expected,
                              const std::map<std::string, std::string>& got) {
  for (const auto& [path, text] : expected) {
    const auto it = got.find(path);
    if (it == got.end()) {
      ADD_FAILURE() << path << " is missing";
    } else if (it->second != text) {
      ADD_FAILURE() << path << " differs: " << text.substr(0, 60) << " / "
                    << it->second.substr(0, 60);
    }
  }
  for (const auto& [path, text] : got) {
    EXPECT_TRUE(expected.contains(path)) << path << " is too many";
  }
}

}  // namespace walvault
