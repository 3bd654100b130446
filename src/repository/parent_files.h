// Where a writer looks for what it need not store again: in what killed runs left, then
// in the parent backup, at the same path and offset; and for a path that none of them
// has, in a file of the same name. docs/decisions/0018.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "repository/source_files.h"
#include "repository/writer_session.h"

namespace walvault {

// Not thread-safe.
class ParentFiles {
 public:
  // `session` must outlive this.
  explicit ParentFiles(const WriterSession& session);

  // What a file of this path and size is most likely to be like; nullopt for nothing.
  [[nodiscard]] std::optional<SourceFiles::File> find(std::string_view path, std::uint64_t size);

  // The parent's own file of that path.
  [[nodiscard]] std::optional<SourceFiles::File> find_in_parent(std::string_view path);

  // As SourceFiles::stream, of the parent.
  [[nodiscard]] std::vector<std::optional<LentRef>> stream(std::string_view name) const;

  // As SourceFiles::damage, of the parent: what a killed run left nobody relies on.
  [[nodiscard]] const std::string& damage() const;

 private:
  std::deque<SourceFiles> unfinished_;
  std::optional<SourceFiles> parent_;
};

}  // namespace walvault
