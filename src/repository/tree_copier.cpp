#include "repository/tree_copier.h"

#include <algorithm>
#include <atomic>

#include "base/error.h"
#include "base/ordered_workers.h"
#include "codec/sha256.h"
#include "repository/damaged_packs.h"
#include "repository/gc_plan.h"
#include "repository/object_table.h"
#include "repository/pin.h"
#include "repository/root_copy.h"

namespace walvault {
namespace {

constexpr std::chrono::milliseconds nap{2000};

}  // namespace

WriterId copying_writer(const Repository& from) {
  const auto digest = sha256(as_bytes("walvault copy of " + from.id()));
  WriterId writer;
  std::ranges::copy_n(digest.bytes.begin(), writer.bytes.size(), writer.bytes.begin());
  return writer;
}

TreeCopier::TreeCopier(const Repository& from, const Repository& to, Clock& clock,
                       const RandomId& run, TreeCopyOptions options, Reporter reporter, Meter meter)
    : from_(from),
      to_(to),
      clock_(clock),
      options_(options),
      reporter_(std::move(reporter)),
      meter_(std::move(meter)),
      writer_(copying_writer(from)),
      run_(to_hex(run)) {}

// One for each root and run, for ever: under a key that came to mean another root, gc would
// take the one for the other.
std::string TreeCopier::pin_key_of(const std::string& root_key) const {
  constexpr std::size_t digits = 32;
  return std::string(prefix_of(ObjectPlace::pins)) + writer_.text() + "/" +
         sha256(as_bytes(root_key + " " + run_)).hex().substr(0, digits);
}

std::optional<TreeCopier::StoredRoot> TreeCopier::find_root(const std::string& root_key) const {
  auto object = from_.storage().find(root_key);
  if (!object || is_of_kind(*object, ObjectKind::tombstone)) return std::nullopt;
  auto packs = decode_root(from_.codec(), *object, root_key).packs;
  return StoredRoot{.key = root_key, .bytes = std::move(*object), .packs = std::move(packs)};
}

bool TreeCopier::add(const std::string& root_key, bool with_pin) {
  const auto root = find_root(root_key);
  if (!root) return false;
  if (with_pin) {
    // A key of a fresh random run is taken only by this call's own lost try.
    (void)to_.put_sealed(
        ObjectKind::pin, pin_key_of(root_key),
        encode_pin({.root_key = root_key, .created = copied_for_ever, .may_borrow = root->packs}));
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
  const auto enough = clock_.steady() + options_.wait_max;
  for (bool first = true; is_condemned(); first = false) {
    if (clock_.steady() > enough) {
      throw Error(
          ErrorKind::unavailable,
          "a gc at " + to_.storage().url() + " is about to delete what is to be copied",
          "It was waited for, and did not come to an end: it may have been ended by force.",
          "Copy again when it is done. If no gc runs there: walvault gc --exclusive --repo " +
              to_.storage().url() + ", while nothing else uses that repository.")
          .transient();
    }
    if (first) {
      reporter_.info("a gc works at " + to_.storage().url() + ": waiting until it is done");
    }
    reporter_.check_cancelled();
    clock_.sleep_for(nap);
  }
  find_there();
}

void TreeCopier::find_there() {
  there_.clear();
  to_.storage().list(prefix_of(ObjectPlace::packs), [&](const ObjectInfo& object) {
    const auto name = PackName::parse(object.key);
    if (name && wanted_.contains(*name)) there_.emplace(*name, object.size);
  });
  for (const auto& name : list_damaged_packs(to_)) {
    if (const auto it = there_.find(name); it != there_.end()) it->second = 0;
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
  meter_.done(entry.size);
  const auto object = from_.storage().find(key);
  if (!object) return false;
  if (object->size() != entry.size || sha256(*object) != entry.name.digest) {
    throw Error(ErrorKind::corrupt, "the pack " + key + " is damaged",
                "At " + from_.storage().url() + " its bytes are not those of its name.",
                "walvault verify says what that costs.");
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
  std::vector<std::string> relied_on;
  for (const auto& entry : root->packs.entries()) {
    const auto it = there_.find(entry.name);
    if (it == there_.end()) {
      lacking.push_back(entry);
    } else if (it->second == entry.size) {
      ++copied.packs_there;
      relied_on.push_back(entry.name.key());
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
  for (const auto& entry : lacking) {
    reporter_.check_cancelled();
    workers.submit({.entry = entry});
  }
  workers.finish();
  if (!missing.empty()) {
    // Deleted meanwhile, and gc after it.
    if (!from_.storage().find_size(root_key)) return std::nullopt;
    throw Error(ErrorKind::corrupt, "the pack " + missing + " is missing",
                "The backup " + root_key + " at " + from_.storage().url() + " needs it.",
                "walvault verify says what that costs.");
  }
  // Others put them there, who may have died before their names were durable.
  to_.storage().settle(relied_on);
  brought_ = std::move(root);
  return copied;
}

bool TreeCopier::commit() {
  const auto root_key = brought_.value().key;
  const auto& bytes = brought_->bytes;
  auto& storage = to_.storage();
  const auto deletion = deletion_key(root_key);
  if (storage.find_size(deletion)) return false;
  if (!storage.put_if_absent(root_key, bytes)) {
    const auto there = storage.find(root_key);
    if (!there || *there != bytes) {
      throw Error(ErrorKind::conflict, "the backup cannot be copied: its place is taken",
                  "At " + storage.url() + " something else is stored as " + root_key + ".",
                  "Those after it can be copied.");
    }
  }
  // Recorded meanwhile: then that root is none, and expire removes it.
  if (storage.find_size(deletion)) return false;
  (void)put_root_copy(to_, root_key, bytes);
  give_up(root_key);
  return true;
}

// Only behind the commit, or where there will be none, a pin protects nothing. Who may not
// remove leaves it to gc.
void TreeCopier::give_up(const std::string& root_key) {
  if (!removes_pins_) return;
  try {
    to_.storage().remove({pin_key_of(root_key)});
  } catch (const Error&) {
    removes_pins_ = false;
  }
}

void TreeCopier::close_lost() {
  const auto own = std::string(prefix_of(ObjectPlace::pins)) + writer_.text() + "/";
  std::set<std::string> lost;
  for (const auto& name : to_.storage().list_names(own)) {
    const auto payload = to_.find_sealed(ObjectKind::pin, own + name);
    if (!payload) continue;  // its root is there by now
    const auto root_key = decode_pin(*payload).root_key;
    // One that is lost there may come back from its copy.
    const bool is_gone =
        !from_.storage().find_size(root_key) && !from_.storage().find_size(root_copy_key(root_key));
    if (is_gone) lost.insert(root_key);
  }
  if (lost.empty()) return;
  for (const auto& stored : list_pins(to_)) {
    if (stored.writer != writer_) lost.erase(stored.pin.root_key);
  }
  for (const auto& root_key : lost) (void)to_.put_sealed(ObjectKind::tombstone, root_key, {});
}

}  // namespace walvault
