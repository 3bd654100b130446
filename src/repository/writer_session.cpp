#include "repository/writer_session.h"

#include <algorithm>
#include <functional>
#include <map>

#include "base/error.h"
#include "repository/damaged_packs.h"
#include "repository/object_table.h"

namespace walvault {
namespace {

// The head of what is stored under `unfinished/`.
struct UnfinishedHead {
  std::string root_key;  // that its writer would have committed
  Timestamp stored;
};

Bytes encode_unfinished_head(const UnfinishedHead& head) {
  ByteWriter out;
  out.string(head.root_key);
  out.time(head.stored);
  return out.take();
}

UnfinishedHead decode_unfinished_head(ByteView bytes) {
  ByteReader in(bytes, "what an unfinished backup left");
  UnfinishedHead head;
  head.root_key = in.string();
  head.stored = in.time();
  return head;
}

std::optional<UnfinishedHead> find_unfinished_head(Storage& storage, const std::string& key) {
  const auto prefix = storage.find(key, {.offset = 0, .length = root_prefix_bytes});
  if (!prefix) return std::nullopt;
  return decode_unfinished_head(decode_root_head(*prefix, key));
}

// Whether a writer came to its end, its backup deleted since or not.
std::optional<bool> did_commit(Storage& storage, const std::string& root_key) {
  const auto root = storage.find(root_key, {.offset = 0, .length = envelope_bytes});
  if (root) return !is_of_kind(*root, ObjectKind::tombstone);
  return storage.find_size(deletion_key(root_key)).has_value();
}

std::optional<Root> find_root(Storage& storage, const std::string& key) {
  const auto object = storage.find(key);
  return object ? std::optional(decode_root(*object, key)) : std::nullopt;
}

// A damaged parent must not stop the next backup.
std::optional<Root> find_parent(Storage& storage, const std::string& key) {
  try {
    return find_root(storage, key);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::corrupt && error.kind() != ErrorKind::conflict) throw;
    return std::nullopt;
  }
}

// Of what nobody relies on: nothing, where it cannot be had.
template <typename Find>
auto optional_source(const Find& find) -> decltype(find()) {
  try {
    return find();
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::internal) throw;
    return std::nullopt;
  }
}

}  // namespace

std::string writer_in_key(std::string_view key) {
  const auto first = key.find('/') + 1;
  return std::string(key.substr(first, key.rfind('/') - first));
}

std::string pin_key(const RandomId& writer, std::uint32_t number) {
  return std::string(prefix_of(ObjectPlace::pins)) + to_hex(writer) + "/" + std::to_string(number);
}

Bytes encode_pin(const Pin& pin) {
  ByteWriter out;
  out.string(pin.root_key);
  out.time(pin.created);
  pin.may_borrow.write(out);
  return out.take();
}

Pin decode_pin(ByteView payload) {
  ByteReader in(payload, "a writer's pin");
  Pin pin;
  pin.root_key = in.string();
  pin.created = in.time();
  pin.may_borrow = PackTable::read(in);
  in.expect_end();
  return pin;
}

std::vector<StoredPin> list_pins(const Repository& repository) {
  std::vector<StoredPin> pins;
  std::vector<std::string> keys;
  repository.storage().list(prefix_of(ObjectPlace::pins),
                            [&](const ObjectInfo& object) { keys.push_back(object.key); });
  for (auto& key : keys) {
    // Gone since it was listed: its writer was given up.
    const auto payload = repository.find_sealed(ObjectKind::pin, key);
    if (!payload) continue;
    auto writer = writer_in_key(key);
    pins.push_back(
        {.key = std::move(key), .writer = std::move(writer), .pin = decode_pin(*payload)});
  }
  return pins;
}

bool is_live(const Repository& repository, const Pin& pin) {
  auto& storage = repository.storage();
  // In this order: a deletion is recorded before the root goes.
  return !storage.find_size(pin.root_key) && !storage.find_size(deletion_key(pin.root_key));
}

std::string deletion_key(std::string_view root_key) {
  const auto first = root_key.find('/');
  const auto last = root_key.rfind('/');
  return std::string(prefix_of(ObjectPlace::deleted)) +
         std::string(root_key.substr(first + 1, last - first - 1));
}

Bytes encode_gc_plan(const GcPlan& plan) {
  ByteWriter out;
  out.time(plan.created);
  plan.condemned.write(out);
  return out.take();
}

GcPlan decode_gc_plan(ByteView payload) {
  ByteReader in(payload, "a plan of gc");
  GcPlan plan;
  plan.created = in.time();
  plan.condemned = PackTable::read(in);
  in.expect_end();
  return plan;
}

WriterSession::WriterSession(const Repository& repository, Clock& clock, RandomId writer,
                             std::string root_key, const std::string& parent_key,
                             const std::vector<std::string>& unfinished_keys)
    : repository_(repository), clock_(clock), writer_(writer), root_key_(std::move(root_key)) {
  auto& storage = repository_.storage();
  if (!parent_key.empty()) parent_ = find_parent(storage, parent_key);
  std::vector<std::pair<std::string, Root>> unfinished;
  for (const auto& key : unfinished_keys) {
    auto root = optional_source([&] { return find_root(storage, key); });
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

std::set<PackName> condemned_packs(const Repository& repository) {
  std::set<PackName> condemned;
  for (const auto& name : repository.storage().list_names(prefix_of(ObjectPlace::plans))) {
    const auto payload =
        repository.find_sealed(ObjectKind::plan, std::string(prefix_of(ObjectPlace::plans)) + name);
    if (!payload) continue;  // that gc has finished
    const auto plan = decode_gc_plan(*payload);
    for (const auto& entry : plan.condemned.entries()) condemned.insert(entry.name);
  }
  return condemned;
}

void WriterSession::find_damaged_packs() {
  const auto marked = list_damaged_packs(repository_);
  const auto writers_of = [](const PackTable& packs) {
    std::set<std::string> writers;
    for (const auto& entry : packs.entries()) writers.insert(to_hex(entry.name.writer));
    return writers;
  };
  const auto of_parent = parent_ ? writers_of(parent_->packs) : std::set<std::string>();
  std::map<std::string, std::uint64_t> stored;
  for (const auto& writer : writers_of(lenders_)) {
    const auto list = [&]() -> std::optional<bool> {
      repository_.storage().list(
          std::string(prefix_of(ObjectPlace::packs)) + writer + "/",
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
  so_far.head = encode_unfinished_head({.root_key = root_key_, .stored = clock_.now()});
  Object object;
  object.key = std::string(prefix_of(ObjectPlace::unfinished)) + to_hex(writer_) + "/" +
               std::to_string(number);
  object.bytes = encode_root(so_far, object.key);
  return object;
}

std::vector<std::string> find_unfinished(const Repository& repository, std::string_view root_prefix,
                                         std::string_view after, std::size_t count_max) {
  auto& storage = repository.storage();
  // The one with the highest number of each writer.
  std::map<std::string, std::string> newest;
  const auto list = [&]() -> std::optional<bool> {
    storage.list(prefix_of(ObjectPlace::unfinished), [&](const ObjectInfo& object) {
      auto& known = newest[writer_in_key(object.key)];
      if (std::pair(object.key.size(), object.key) > std::pair(known.size(), known)) {
        known = object.key;
      }
    });
    return true;
  };
  (void)optional_source(list);
  std::vector<std::pair<Timestamp, std::string>> found;
  for (const auto& each : newest) {
    const auto& key = each.second;
    const auto head = optional_source([&] { return find_unfinished_head(storage, key); });
    if (!head || !head->root_key.starts_with(root_prefix) || head->root_key <= after) continue;
    if (optional_source([&] { return did_commit(storage, head->root_key); }).value_or(true))
      continue;
    found.emplace_back(head->stored, key);
  }
  std::ranges::sort(found, std::greater());
  if (found.size() > count_max) found.resize(count_max);
  std::vector<std::string> keys;
  keys.reserve(found.size());
  for (auto& [stored, key] : found) keys.push_back(std::move(key));
  return keys;
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
  if (storage.put_if_absent(root_key_, root)) return remove_pin();
  const auto there = storage.find(root_key_);
  if (there && std::ranges::equal(*there, root))
    return remove_pin();  // our own, its answer was lost
  throw Error(ErrorKind::unavailable, "the backup could not be committed",
              "Its place " + root_key_ + " was closed by a gc that took this run for dead.",
              "Run the backup again.");
}

}  // namespace walvault
