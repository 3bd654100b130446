#include "repository/tree_copier.h"

#include <algorithm>
#include <atomic>
#include <charconv>

#include "base/error.h"
#include "base/ordered_workers.h"
#include "codec/sha256.h"
#include "repository/damaged_packs.h"
#include "repository/writer_session.h"

namespace walvault {
namespace {

constexpr std::string_view packs_prefix = "packs/";
constexpr std::chrono::milliseconds nap{500};

std::uint32_t number_of_pin(std::string_view key) {
  const auto text = key.substr(key.rfind('/') + 1);
  std::uint32_t number = 0;
  (void)std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

}  // namespace

RandomId copying_writer(const Repository& from) {
  const auto digest = sha256(as_bytes("walvault copy of " + from.id()));
  RandomId writer{};
  std::ranges::copy_n(digest.bytes.begin(), writer.size(), writer.begin());
  return writer;
}

TreeCopier::TreeCopier(const Repository& from, const Repository& to, Clock& clock,
                       TreeCopyOptions options, TreeCopyListener listener)
    : from_(from),
      to_(to),
      clock_(clock),
      options_(options),
      listener_(std::move(listener)),
      writer_(copying_writer(from)) {
  find_earlier_pins();
}

void TreeCopier::find_earlier_pins() {
  const auto prefix = "pins/" + to_hex(writer_) + "/";
  for (const auto& name : to_.storage().list_names(prefix)) {
    const auto key = prefix + name;
    next_pin_ = std::max(next_pin_, number_of_pin(key) + 1);
    // Gone since it was listed: its root is there, or it was closed.
    const auto payload = to_.find_sealed(ObjectKind::pin, key);
    if (payload) pins_.emplace(decode_pin(*payload).root_key, key);
  }
}

std::optional<TreeCopier::StoredRoot> TreeCopier::find_root(const std::string& root_key) const {
  auto object = from_.storage().find(root_key);
  if (!object || is_of_kind(*object, ObjectKind::tombstone)) return std::nullopt;
  auto packs = decode_root(*object, root_key).packs;
  return StoredRoot{.key = root_key, .bytes = std::move(*object), .packs = std::move(packs)};
}

bool TreeCopier::add(const std::string& root_key, bool with_pin) {
  const auto root = find_root(root_key);
  if (!root) return false;
  // A pin of an earlier run names the same packs: a root never changes.
  if (with_pin && !pins_.contains(root_key)) {
    const auto pin =
        encode_pin({.root_key = root_key, .created = copied_for_ever, .may_borrow = root->packs});
    std::string key;
    do {
      key = pin_key(writer_, next_pin_++);
      // Taken: by another run of the same copy.
    } while (!to_.put_sealed(ObjectKind::pin, key, pin));
    pins_.emplace(root_key, key);
  }
  for (const auto& entry : root->packs.entries()) wanted_.emplace(entry.name, entry.size);
  return true;
}

bool TreeCopier::is_condemned() const {
  return std::ranges::any_of(condemned_packs(to_),
                             [&](const PackName& name) { return wanted_.contains(name); });
}

void TreeCopier::look() {
  if (wanted_.empty()) return;
  const auto enough = clock_.now() + options_.wait_max;
  for (bool first = true; is_condemned(); first = false) {
    if (clock_.now() > enough) {
      throw Error(
          ErrorKind::unavailable,
          "a gc at " + to_.storage().url() + " is about to delete what is to be copied",
          "It was waited for, and did not come to an end: it may have been ended by force.",
          "Copy again when it is done. If no gc runs there: walvault gc --exclusive --repo " +
              to_.storage().url() + ", while nothing else uses that repository.")
          .transient();
    }
    if (first) listener_.waiting();
    listener_.check_cancelled();
    clock_.sleep_for(nap);
  }
  to_.storage().list(packs_prefix, [&](const ObjectInfo& object) {
    const auto name = PackName::parse(object.key);
    if (name && wanted_.contains(*name)) there_.emplace(*name, object.size);
  });
  for (const auto& name : list_damaged_packs(to_)) {
    if (wanted_.contains(name)) there_[name] = 0;
  }
}

TreeCopied TreeCopier::pretend(const std::string& root_key) {
  TreeCopied lacking;
  const auto root = find_root(root_key);
  if (!root) return lacking;
  for (const auto& entry : root->packs.entries()) {
    if (there_.emplace(entry.name, entry.size).second) {
      ++lacking.packs;
      lacking.bytes += entry.size;
    } else {
      ++lacking.packs_there;
    }
  }
  return lacking;
}

bool TreeCopier::bring(const PackTable::Entry& entry) {
  const auto key = entry.name.key();
  listener_.reading(entry.size);
  const auto object = from_.storage().find(key);
  if (!object) return false;
  if (object->size() != entry.size || sha256(*object) != entry.name.digest) {
    throw Error(ErrorKind::corrupt, "the pack " + key + " is damaged",
                "At " + from_.storage().url() + " its bytes are not those of its name.",
                "walvault verify tells what that costs.");
  }
  // False: another copy has just brought it.
  (void)to_.storage().put_if_absent(key, *object);
  return true;
}

std::optional<TreeCopied> TreeCopier::bring_packs(const std::string& root_key) {
  brought_.reset();
  auto root = find_root(root_key);
  if (!root) return std::nullopt;
  TreeCopied copied;
  std::vector<PackTable::Entry> lacking;
  for (const auto& entry : root->packs.entries()) {
    const auto it = there_.find(entry.name);
    if (it == there_.end()) {
      lacking.push_back(entry);
    } else if (it->second == entry.size) {
      ++copied.packs_there;
    } else {
      throw Error(ErrorKind::corrupt, "the pack " + entry.name.key() + " is damaged",
                  "It is that at " + to_.storage().url() + ", and nothing is overwritten.",
                  "walvault verify --repo " + to_.storage().url() +
                      " tells what that costs; remove the damaged object there, and copy again.");
    }
  }
  struct Item {
    PackTable::Entry entry;
    bool brought = false;
  };
  std::string missing;
  OrderedWorkers<Item> workers(
      {.threads = options_.jobs, .in_flight_max = options_.jobs},
      [&](Item& item, unsigned) { item.brought = bring(item.entry); },
      [&](Item& item) {
        if (!item.brought) {
          missing = item.entry.name.key();
          return;
        }
        there_[item.entry.name] = item.entry.size;
        ++copied.packs;
        copied.bytes += item.entry.size;
      });
  for (auto& entry : lacking) {
    listener_.check_cancelled();
    workers.submit({.entry = std::move(entry)});
  }
  workers.finish();
  if (!missing.empty()) {
    // Deleted meanwhile, and gc after it.
    if (!from_.storage().find_size(root_key)) return std::nullopt;
    throw Error(ErrorKind::corrupt, "the pack " + missing + " is missing",
                "The backup " + root_key + " at " + from_.storage().url() + " needs it.",
                "walvault verify tells what that costs.");
  }
  brought_ = std::move(root);
  return copied;
}

void TreeCopier::commit() {
  const auto& [root_key, bytes, packs] = brought_.value();
  auto& storage = to_.storage();
  if (!storage.put_if_absent(root_key, bytes)) {
    const auto there = storage.find(root_key);
    if (!there || *there != bytes) {
      throw Error(ErrorKind::conflict, "the backup cannot be copied: its place is taken",
                  "At " + storage.url() + " something else is stored as " + root_key + ".",
                  "Those behind it can be copied.");
    }
  }
  for (const auto& entry : packs.entries()) committed_.insert(entry.name);
  // Only now it protects nothing. Who may not remove leaves that to gc.
  const auto pin = pins_.find(root_key);
  if (pin == pins_.end() || !removes_pins_) return;
  try {
    storage.remove({pin->second});
  } catch (const Error&) {
    removes_pins_ = false;
  }
  pins_.erase(pin);
}

void TreeCopier::prove() const {
  if (committed_.empty()) return;
  std::set<PackName> left = committed_;
  to_.storage().list(packs_prefix, [&](const ObjectInfo& object) {
    if (const auto name = PackName::parse(object.key)) left.erase(*name);
  });
  if (left.empty()) return;
  throw Error(ErrorKind::unavailable,
              std::to_string(left.size()) + " packs that were copied are not there any more",
              left.begin()->key() + " at " + to_.storage().url() + " is one of them.",
              "Something else deletes there. walvault verify --present --repo " +
                  to_.storage().url() + " tells what is lost; delete those backups there.");
}

void TreeCopier::close_lost(const std::function<bool(const std::string&)>& is_at_source) {
  for (const auto& [root_key, key] : pins_) {
    if (!is_at_source(root_key)) (void)to_.put_sealed(ObjectKind::tombstone, root_key, {});
  }
}

}  // namespace walvault
