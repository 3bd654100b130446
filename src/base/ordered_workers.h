// Work in parallel, results in order: the one shape in which this project uses
// threads. `submit` hands in items; `work` runs on any of the worker threads;
// `deliver` runs on one further thread, in the order of submission. At most
// `in_flight_max` items exist at a time, so memory is bounded and a slow stage
// holds the caller back.
//
// The first exception of any stage stops the rest: later items are dropped
// unworked, and that exception leaves `submit` or `finish`. A destructor
// without `finish` abandons what is under way and joins.
//
// Thread safety: `submit` and `finish` belong to one caller thread.
#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "base/error.h"

namespace walvault {

template <typename Item>
class OrderedWorkers {
 public:
  struct Options {
    unsigned threads = 1;
    std::size_t in_flight_max = 4;
  };
  // `worker` numbers the thread from 0, for scratch space a worker owns.
  using Work = std::function<void(Item&, unsigned worker)>;
  using Deliver = std::function<void(Item&)>;

  OrderedWorkers(Options options, Work work, Deliver deliver)
      : options_(options), work_(std::move(work)), deliver_(std::move(deliver)) {
    try {
      for (unsigned i = 0; i < options_.threads; ++i) {
        threads_.emplace_back([this, i] { run_worker(i); });
      }
      threads_.emplace_back([this] { run_delivery(); });
    } catch (const std::system_error& error) {
      abandon();
      throw system_error("start a thread", error.code().value());
    }
  }
  OrderedWorkers(const OrderedWorkers&) = delete;
  OrderedWorkers& operator=(const OrderedWorkers&) = delete;

  ~OrderedWorkers() { abandon(); }

  void submit(Item item) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return failure_ || in_flight_.size() < options_.in_flight_max; });
    if (failure_) std::rethrow_exception(failure_);
    in_flight_.push_back(std::make_unique<Slot>(std::move(item)));
    waiting_.push_back(in_flight_.back().get());
    changed_.notify_all();
  }

  void finish() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return failure_ || in_flight_.empty(); });
    finished_ = true;
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  // Ends and joins the threads, whatever is under way.
  void abandon() {
    {
      const std::lock_guard lock(mutex_);
      if (!finished_) abandoned_ = true;
      closed_ = true;
    }
    changed_.notify_all();
    threads_.clear();
  }

  struct Slot {
    explicit Slot(Item value) : item(std::move(value)) {}
    Item item;
    bool done = false;
  };

  void run_worker(unsigned worker) {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [&] { return stopping() || !waiting_.empty() || closed_; });
      if (stopping() || waiting_.empty()) return;
      Slot* const slot = waiting_.front();
      waiting_.pop_front();
      lock.unlock();
      const bool ok = guarded([&] { work_(slot->item, worker); });
      lock.lock();
      slot->done = ok;
      changed_.notify_all();
    }
  }

  void run_delivery() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [&] {
        return stopping() || (!in_flight_.empty() && in_flight_.front()->done) ||
               (closed_ && in_flight_.empty());
      });
      if (stopping() || in_flight_.empty()) return;
      Slot* const slot = in_flight_.front().get();
      lock.unlock();
      const bool ok = guarded([&] { deliver_(slot->item); });
      lock.lock();
      if (ok) in_flight_.pop_front();
      changed_.notify_all();
    }
  }

  [[nodiscard]] bool stopping() const { return abandoned_ || failure_ != nullptr; }

  template <typename Action>
  bool guarded(Action&& action) {
    try {
      action();
      return true;
    } catch (...) {
      const std::lock_guard lock(mutex_);
      if (!failure_) failure_ = std::current_exception();
      changed_.notify_all();
      return false;
    }
  }

  const Options options_;
  const Work work_;
  const Deliver deliver_;

  std::mutex mutex_;
  // One condition for all: items are hundreds of kilobytes, so wake-ups are
  // rare beside the work.
  std::condition_variable changed_;
  std::deque<std::unique_ptr<Slot>> in_flight_;  // submission order
  std::deque<Slot*> waiting_;                    // not yet taken by a worker
  std::exception_ptr failure_;
  bool closed_ = false;
  bool finished_ = false;
  bool abandoned_ = false;
  // Last member: the threads end before what they use is destroyed.
  std::vector<std::jthread> threads_;
};

}  // namespace walvault
