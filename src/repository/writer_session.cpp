#include "repository/writer_session.h"

#include <algorithm>
#include <map>

#include "base/error.h"
#include "repository/damaged_packs.h"

namespace walvault {
namespace {

constexpr std::string_view plans_prefix = "plans/";
constexpr std::string_view pins_prefix = "pins/";

Timestamp read_time(ByteReader& in) { return Timestamp(std::chrono::microseconds(in.i64())); }

}  // namespace

std::string pin_key(const RandomId& writer, std::uint32_t number) {
  return std::string(pins_prefix) + to_hex(writer) + "/" + std::to_string(number);
}

Bytes encode_pin(const Pin& pin) {
  ByteWriter out;
  out.string(pin.root_key);
  out.i64(pin.created.time_since_epoch().count());
  pin.may_borrow.write(out);
  return out.take();
}

Pin decode_pin(ByteView payload) {
  ByteReader in(payload, "a writer's pin");
  Pin pin;
  pin.root_key = in.string();
  pin.created = read_time(in);
  pin.may_borrow = PackTable::read(in);
  in.expect_end();
  return pin;
}

std::vector<StoredPin> list_pins(const Repository& repository) {
  std::vector<StoredPin> pins;
  std::vector<std::string> keys;
  repository.storage().list(pins_prefix,
                            [&](const ObjectInfo& object) { keys.push_back(object.key); });
  for (auto& key : keys) {
    // Gone since it was listed: its writer was given up.
    const auto payload = repository.find_sealed(ObjectKind::pin, key);
    if (!payload) continue;
    auto writer = key.substr(pins_prefix.size(), key.rfind('/') - pins_prefix.size());
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
  return "deleted" + std::string(root_key.substr(first, last - first));
}

Bytes encode_gc_plan(const GcPlan& plan) {
  ByteWriter out;
  out.i64(plan.created.time_since_epoch().count());
  plan.condemned.write(out);
  return out.take();
}

GcPlan decode_gc_plan(ByteView payload) {
  ByteReader in(payload, "a plan of gc");
  GcPlan plan;
  plan.created = read_time(in);
  plan.condemned = PackTable::read(in);
  in.expect_end();
  return plan;
}

WriterSession::WriterSession(const Repository& repository, Clock& clock, RandomId writer,
                             std::string root_key, const std::string& source_root_key)
    : repository_(repository), writer_(writer), root_key_(std::move(root_key)) {
  auto& storage = repository_.storage();
  if (!source_root_key.empty()) {
    if (const auto object = storage.find(source_root_key)) {
      try {
        source_ = decode_root(*object, source_root_key);
      } catch (const Error& error) {
        // A damaged parent must not stop the next backup.
        if (error.kind() != ErrorKind::corrupt) throw;
      }
    }
  }
  const auto pin = encode_pin({.root_key = root_key_,
                               .created = clock.now(),
                               .may_borrow = source_ ? source_->packs : PackTable()});
  // A key of a fresh random writer is taken only by this call's own lost try.
  (void)repository_.put_sealed(ObjectKind::pin, pin_key(writer_, 1), pin);
  if (!source_) return;

  for (const auto& name : storage.list_names(plans_prefix)) {
    const auto payload =
        repository_.find_sealed(ObjectKind::plan, std::string(plans_prefix) + name);
    if (!payload) continue;  // that gc has finished
    const auto plan = decode_gc_plan(*payload);
    for (const auto& entry : plan.condemned.entries()) condemned_.insert(entry.name);
  }
  if (!storage.find_size(source_root_key)) {
    source_.reset();
    return;
  }
  find_damaged_packs();
}

void WriterSession::find_damaged_packs() {
  const auto marked = list_damaged_packs(repository_);
  std::set<std::string> writers;
  for (const auto& entry : source_->packs.entries()) writers.insert(to_hex(entry.name.writer));
  std::map<std::string, std::uint64_t> stored;
  for (const auto& writer : writers) {
    repository_.storage().list("packs/" + writer + "/", [&](const ObjectInfo& object) {
      stored.emplace(object.key, object.size);
    });
  }
  for (const auto& entry : source_->packs.entries()) {
    const auto it = stored.find(entry.name.key());
    if (it != stored.end() && it->second == entry.size && !marked.contains(entry.name)) continue;
    damaged_.insert(entry.name);
  }
}

void WriterSession::abandon() const noexcept {
  try {
    (void)repository_.put_sealed(ObjectKind::tombstone, root_key_, {});
  } catch (...) {
    // Then gc does it, in its time.
  }
}

void WriterSession::commit(ByteView root) const {
  auto& storage = repository_.storage();
  if (storage.put_if_absent(root_key_, root)) return;
  const auto there = storage.find(root_key_);
  if (there && std::ranges::equal(*there, root)) return;  // our own, its answer was lost
  throw Error(ErrorKind::unavailable, "the backup could not be committed",
              "Its place " + root_key_ + " was closed by a gc that took this run for dead.",
              "Run the backup again.");
}

}  // namespace walvault
