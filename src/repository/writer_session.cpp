#include "repository/writer_session.h"

#include <algorithm>
#include <map>

#include "base/error.h"
#include "repository/damaged_packs.h"
#include "repository/gc_plan.h"
#include "repository/object_table.h"
#include "repository/pin.h"
#include "repository/root_copy.h"
#include "repository/unfinished.h"

namespace walvault {
namespace {

std::optional<Root> find_root(const Repository& repository, const std::string& key) {
  const auto object = repository.storage().find(key);
  return object ? std::optional(decode_root(repository.codec(), *object, key)) : std::nullopt;
}

// A damaged parent must not stop the next backup.
std::optional<Root> find_parent(const Repository& repository, const std::string& key) {
  try {
    return find_root(repository, key);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::corrupt && error.kind() != ErrorKind::conflict) throw;
    return std::nullopt;
  }
}

}  // namespace

WriterSession::WriterSession(const Repository& repository, Clock& clock, WriterId writer,
                             std::string root_key, const std::string& parent_key,
                             const std::vector<std::string>& unfinished_keys)
    : repository_(repository), clock_(clock), writer_(writer), root_key_(std::move(root_key)) {
  auto& storage = repository_.storage();
  if (!parent_key.empty()) parent_ = find_parent(repository_, parent_key);
  std::vector<std::pair<std::string, Root>> unfinished;
  for (const auto& key : unfinished_keys) {
    auto root = optional_source([&] { return find_root(repository_, key); });
    if (root) unfinished.emplace_back(key, std::move(*root));
  }
  const auto lend = [&](const Root& root) {
    for (const auto& entry : root.packs.entries()) (void)lenders_.add(entry.name, entry.size);
  };
  if (parent_) lend(*parent_);
  for (const auto& [key, root] : unfinished) lend(root);

  const auto pin =
      encode_pin({.root_key = root_key_, .created = clock_.now(), .may_borrow = lenders_});
  try {
    // A key of a fresh random writer is taken only by this call's own lost try.
    (void)repository_.put_sealed(ObjectKind::pin, pin_key(writer_, 1), pin);
    if (!parent_ && unfinished.empty()) return;

    condemned_ = condemned_packs(repository_);
    if (parent_ && !storage.find_size(parent_key)) parent_.reset();
    for (auto& each : unfinished) {
      const auto is_there = optional_source([&] { return storage.find_size(each.first); });
      if (is_there) unfinished_.push_back(std::move(each.second));
    }
    if (parent_ || !unfinished_.empty()) find_damaged_packs();
  } catch (...) {
    abandon();
    throw;
  }
}

void WriterSession::find_damaged_packs() {
  const auto marked = list_damaged_packs(repository_);
  const auto writers_of = [](const PackTable& packs) {
    std::set<WriterId> writers;
    for (const auto& entry : packs.entries()) writers.insert(entry.name.writer);
    return writers;
  };
  const auto of_parent = parent_ ? writers_of(parent_->packs) : std::set<WriterId>();
  std::map<std::string, std::uint64_t> stored;
  for (const auto& writer : writers_of(lenders_)) {
    const auto list = [&]() -> std::optional<bool> {
      repository_.storage().list(
          std::string(prefix_of(ObjectPlace::packs)) + writer.text() + "/",
          [&](const ObjectInfo& object) { stored.emplace(object.key, object.size); });
      return true;
    };
    // What cannot be listed of a killed run is not there.
    if (of_parent.contains(writer)) {
      (void)list();
    } else {
      (void)optional_source(list);
    }
  }
  for (const auto& entry : lenders_.entries()) {
    const auto it = stored.find(entry.name.key());
    if (it != stored.end() && it->second == entry.size && !marked.contains(entry.name)) continue;
    damaged_.insert(entry.name);
  }
}

std::size_t WriterSession::damaged_packs_of_parent() const {
  if (!parent_) return 0;
  return static_cast<std::size_t>(
      std::ranges::count_if(parent_->packs.entries(),
                            [&](const PackTable::Entry& entry) { return is_damaged(entry.name); }));
}

WriterSession::Object WriterSession::unfinished_object(Root so_far, std::uint32_t number) const {
  Object object;
  object.key = unfinished_key(writer_, number);
  object.bytes = encode_unfinished(repository_.codec(), std::move(so_far), root_key_, clock_.now(),
                                   object.key);
  return object;
}

void WriterSession::abandon() const noexcept {
  try {
    (void)repository_.put_sealed(ObjectKind::tombstone, root_key_, {});
  } catch (...) {
    // Then gc does it, in its time.
  }
}

void WriterSession::remove_pin() const noexcept {
  try {
    repository_.storage().remove({pin_key(writer_, 1)});
  } catch (...) {
    // Who may not remove leaves it to gc.
  }
}

void WriterSession::commit(ByteView root) const {
  auto& storage = repository_.storage();
  const auto finish = [&] {
    (void)put_root_copy(repository_, root_key_, root);
    remove_pin();
  };
  if (storage.put_if_absent(root_key_, root)) return finish();
  const auto there = storage.find(root_key_);
  if (there && std::ranges::equal(*there, root)) return finish();  // our own, its answer was lost
  throw Error(ErrorKind::unavailable, "the backup could not be committed",
              "Its place " + root_key_ + " was closed by a gc that took this run for dead.",
              "Run the backup again.");
}

}  // namespace walvault
