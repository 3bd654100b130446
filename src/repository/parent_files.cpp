#include "repository/parent_files.h"

namespace walvault {

ParentFiles::ParentFiles(const WriterSession& session) {
  for (const auto& root : session.unfinished()) {
    unfinished_.emplace_back(session, root, SourceFiles::Kind::unfinished);
  }
  if (session.parent() != nullptr) {
    parent_.emplace(session, *session.parent(), SourceFiles::Kind::backup);
  }
}

std::optional<SourceFiles::File> ParentFiles::find(std::string_view path, std::uint64_t size) {
  for (auto& source : unfinished_) {
    // Where it cannot lend, the parent may.
    if (auto file = source.find(path); file && file->chunk(0)) return file;
  }
  if (!parent_) return std::nullopt;
  auto file = parent_->find(path);
  return file ? std::move(file) : parent_->find_namesake(path, size);
}

std::optional<SourceFiles::File> ParentFiles::find_in_parent(std::string_view path) {
  return parent_ ? parent_->find(path) : std::nullopt;
}

std::vector<std::optional<LentRef>> ParentFiles::stream(std::string_view name) const {
  return parent_ ? parent_->stream(name) : std::vector<std::optional<LentRef>>();
}

const std::string& ParentFiles::damage() const {
  static const std::string none;
  return parent_ ? parent_->damage() : none;
}

}  // namespace walvault
