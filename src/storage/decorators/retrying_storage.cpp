#include "storage/decorators/retrying_storage.h"

#include <algorithm>
#include <exception>
#include <optional>
#include <random>

namespace walvault {

namespace {

constexpr std::size_t keys_at_once = 1000;
constexpr std::chrono::milliseconds pause_unheard{200};
constexpr std::chrono::seconds clearing_up_patience{10};

// In a destructor that an exception has called, or where one is being handled.
bool clears_up() { return std::uncaught_exceptions() > 0 || std::current_exception() != nullptr; }

std::chrono::milliseconds shortened(std::chrono::milliseconds pause) {
  thread_local std::minstd_rand random{std::random_device{}()};
  return std::chrono::milliseconds(
      std::uniform_int_distribution<std::int64_t>(pause.count() / 2, pause.count())(random));
}

}  // namespace

RetryingStorage::RetryingStorage(std::unique_ptr<Storage> inner, Clock& clock, RetryPolicy policy)
    : inner_(std::move(inner)), clock_(clock), policy_(std::move(policy)) {}

template <typename Operation>
auto RetryingStorage::with_retries(Operation&& operation, bool* has_gone_on) {
  auto pause = policy_.first_pause;
  std::optional<SteadyTime> failed_first;
  while (true) {
    try {
      return operation();
    } catch (const Error& error) {
      if (!error.is_transient()) throw;
      // What came a part of the way has not failed since then.
      if (has_gone_on != nullptr && *has_gone_on) {
        *has_gone_on = false;
        failed_first.reset();
        pause = policy_.first_pause;
      }
      const auto now = clock_.steady();
      const bool first = !failed_first;
      if (first) failed_first = now;
      const auto again = now + pause - *failed_first;
      if (!first && again > policy_.patience) throw;
      if (policy_.notice && again >= policy_.noticed_from) policy_.notice(error);
    }
    wait(policy_.jitter ? shortened(pause) : pause);
    pause = std::min(pause * 2, policy_.pause_max);
  }
}

void RetryingStorage::wait(std::chrono::milliseconds pause) {
  if (!policy_.check_cancelled) return clock_.sleep_for(pause);
  while (true) {
    check_cancelled();
    if (pause.count() <= 0) return;
    clock_.sleep_for(std::min(pause, pause_unheard));
    pause -= pause_unheard;
  }
}

void RetryingStorage::check_cancelled() {
  const bool clears = clears_up();
  try {
    policy_.check_cancelled();
  } catch (...) {
    const auto now = clock_.steady();
    const std::scoped_lock lock(mutex_);
    if (!cancelled_) cancelled_ = now;
    if (!clears || now - *cancelled_ >= clearing_up_patience) throw;
  }
}

bool RetryingStorage::put_if_absent(std::string_view key, const ObjectContent& content) {
  return with_retries([&] { return inner_->put_if_absent(key, content); });
}

std::optional<Bytes> RetryingStorage::find(std::string_view key, ByteRange range) {
  return with_retries([&] { return inner_->find(key, range); });
}

std::optional<std::uint64_t> RetryingStorage::find_size(std::string_view key) {
  return with_retries([&] { return inner_->find_size(key); });
}

void RetryingStorage::list(std::string_view prefix,
                           const std::function<void(const ObjectInfo&)>& each) {
  // A listing that broke off is taken up again from its start; what the
  // caller has seen already is passed over, keys being in ascending order.
  std::string last;
  // What `each` throws is the caller's affair: repeated, the listing would
  // pass over the very object that it failed at.
  std::exception_ptr callers;
  bool has_gone_on = false;
  with_retries(
      [&] {
        try {
          inner_->list(prefix, [&](const ObjectInfo& object) {
            if (!last.empty() && object.key <= last) return;
            last = object.key;
            has_gone_on = true;
            try {
              each(object);
            } catch (...) {
              callers = std::current_exception();
              throw;
            }
          });
        } catch (...) {
          if (!callers) throw;
        }
      },
      &has_gone_on);
  if (callers) std::rethrow_exception(callers);
}

std::vector<std::string> RetryingStorage::list_names(std::string_view prefix) {
  return with_retries([&] { return inner_->list_names(prefix); });
}

void RetryingStorage::remove(const std::vector<std::string>& keys) {
  for (std::size_t begin = 0; begin < keys.size(); begin += keys_at_once) {
    const auto end = std::min(keys.size(), begin + keys_at_once);
    const std::vector<std::string> some(keys.begin() + static_cast<std::ptrdiff_t>(begin),
                                        keys.begin() + static_cast<std::ptrdiff_t>(end));
    with_retries([&] { inner_->remove(some); });
  }
}

void RetryingStorage::settle(const std::vector<std::string>& keys) {
  with_retries([&] { inner_->settle(keys); });
}

// A second try behind a lost answer finds the object whole: by whomever, it is replaced.
Replaced RetryingStorage::replace_damaged(std::string_view key, const ObjectContent& content,
                                          const IsWhole& is_whole) {
  return with_retries([&] { return inner_->replace_damaged(key, content, is_whole); });
}

std::uint64_t RetryingStorage::remove_leftovers(Timestamp before) {
  return with_retries([&] { return inner_->remove_leftovers(before); });
}

bool RetryingStorage::has_conditional_writes() {
  return with_retries([&] { return inner_->has_conditional_writes(); });
}

}  // namespace walvault
