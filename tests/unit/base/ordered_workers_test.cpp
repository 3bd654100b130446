#include "base/ordered_workers.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <numeric>
#include <set>
#include <stdexcept>
#include <string>

namespace walvault {
namespace {

using namespace std::chrono_literals;

struct Refused : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Submits the items from 0 to count - 1 and finishes; the text of the
// exception that came out, empty for none.
template <typename Workers>
std::string run_all(Workers& workers, int count) {
  try {
    for (int i = 0; i < count; ++i) workers.submit(i);
    workers.finish();
  } catch (const Refused& refused) {
    return refused.what();
  }
  return "";
}

TEST(OrderedWorkers, DeliverInTheOrderOfSubmissionHoweverLongTheWorkTakes) {
  std::vector<int> delivered;
  OrderedWorkers<int> workers(
      {.threads = 4, .in_flight_max = 8},
      [](int& item, unsigned) {
        std::this_thread::sleep_for(item % 4 == 0 ? 400us : 0us);
        item *= 10;
      },
      [&](int& item) { delivered.push_back(item); });
  EXPECT_EQ(run_all(workers, 200), "");

  ASSERT_EQ(delivered.size(), 200u);
  for (int i = 0; i < 200; ++i) ASSERT_EQ(delivered[static_cast<std::size_t>(i)], i * 10);
}

TEST(OrderedWorkers, WorkOnSeveralItemsAtOnce) {
  // Each of the two items waits for the other: one thread would never end.
  std::promise<void> started[2];
  std::shared_future<void> other_started[2] = {started[1].get_future().share(),
                                               started[0].get_future().share()};
  std::atomic<int> met = 0;
  OrderedWorkers<int> workers(
      {.threads = 2, .in_flight_max = 2},
      [&](int& item, unsigned) {
        started[item].set_value();
        if (other_started[item].wait_for(30s) == std::future_status::ready) {
          ++met;
        }
      },
      [](int&) {});
  EXPECT_EQ(run_all(workers, 2), "");
  EXPECT_EQ(met, 2);
}

TEST(OrderedWorkers, NumberTheirThreadsFromZero) {
  std::mutex mutex;
  std::set<unsigned> numbers;
  OrderedWorkers<int> workers(
      {.threads = 3, .in_flight_max = 6},
      [&](int&, unsigned worker) {
        const std::lock_guard lock(mutex);
        numbers.insert(worker);
      },
      [](int&) {});
  EXPECT_EQ(run_all(workers, 100), "");
  EXPECT_FALSE(numbers.empty());
  EXPECT_LT(*numbers.rbegin(), 3u);
}

TEST(OrderedWorkers, HoldTheCallerBackWhenTheMostAllowedAreInFlight) {
  std::promise<void> may_deliver;
  const auto permission = may_deliver.get_future().share();
  std::atomic<int> submitted = 0;
  std::atomic<int> delivered = 0;
  OrderedWorkers<int> workers(
      {.threads = 2, .in_flight_max = 3}, [](int&, unsigned) {},
      [&](int&) {
        permission.wait();
        ++delivered;
      });
  std::jthread caller([&] {
    for (int i = 0; i < 10; ++i) {
      workers.submit(i);
      ++submitted;
    }
  });
  while (submitted < 3) std::this_thread::sleep_for(1ms);
  std::this_thread::sleep_for(50ms);
  EXPECT_EQ(submitted, 3);

  may_deliver.set_value();
  caller.join();
  workers.finish();
  EXPECT_EQ(delivered, 10);
}

TEST(OrderedWorkers, TakeItemsThatCanOnlyBeMoved) {
  int sum = 0;
  OrderedWorkers<std::unique_ptr<int>> workers(
      {.threads = 2, .in_flight_max = 2}, [](std::unique_ptr<int>& item, unsigned) { ++*item; },
      [&](std::unique_ptr<int>& item) { sum += *item; });
  workers.submit(std::make_unique<int>(1));
  workers.submit(std::make_unique<int>(2));
  workers.finish();
  EXPECT_EQ(sum, 5);
}

TEST(OrderedWorkers, FinishAtOnceWhenThereWasNothing) {
  OrderedWorkers<int> workers(
      {}, [](int&, unsigned) {}, [](int&) {});
  EXPECT_NO_THROW(workers.finish());
}

TEST(OrderedWorkers, StopAtTheFirstErrorOfTheWorkAndDeliverNothingFromItOn) {
  std::vector<int> delivered;
  std::atomic<int> worked = 0;
  {
    OrderedWorkers<int> workers(
        {.threads = 3, .in_flight_max = 4},
        [&](int& item, unsigned) {
          ++worked;
          if (item == 5) throw Refused("work");
        },
        [&](int& item) { delivered.push_back(item); });
    EXPECT_EQ(run_all(workers, 1000), "work");
  }
  EXPECT_LT(worked, 20);  // what was in flight, not the thousand
  EXPECT_LE(delivered.size(), 5u);
  for (std::size_t i = 0; i < delivered.size(); ++i) EXPECT_EQ(delivered[i], static_cast<int>(i));
}

TEST(OrderedWorkers, StopAtTheFirstErrorOfTheDelivery) {
  std::vector<int> delivered;
  {
    OrderedWorkers<int> workers(
        {.threads = 3, .in_flight_max = 4}, [](int&, unsigned) {},
        [&](int& item) {
          if (item == 5) throw Refused("delivery");
          delivered.push_back(item);
        });
    EXPECT_EQ(run_all(workers, 1000), "delivery");
  }
  EXPECT_EQ(delivered, (std::vector{0, 1, 2, 3, 4}));
}

TEST(OrderedWorkers, ReportTheErrorOfTheLastItemFromFinish) {
  OrderedWorkers<int> workers(
      {.threads = 1, .in_flight_max = 8},
      [](int& item, unsigned) {
        if (item == 3) throw Refused("the last");
      },
      [](int&) {});
  for (int i = 0; i < 4; ++i) ASSERT_NO_THROW(workers.submit(i)) << i;
  EXPECT_THROW(workers.finish(), Refused);
}

TEST(OrderedWorkers, ReportTheFirstErrorThoughAnotherFollows) {
  std::promise<void> may_fail;
  const auto permission = may_fail.get_future().share();
  OrderedWorkers<int> workers(
      {.threads = 2, .in_flight_max = 2},
      [&](int& item, unsigned) {
        if (item == 0) {
          permission.wait();
          throw Refused("second");
        }
        throw Refused("first");
      },
      [](int&) {});
  workers.submit(0);
  workers.submit(1);
  // In flight is full, so this returns only once the first error is known.
  EXPECT_THROW(workers.submit(2), Refused);
  may_fail.set_value();
  std::this_thread::sleep_for(10ms);
  try {
    workers.finish();
    FAIL() << "finish reported no error";
  } catch (const Refused& refused) {
    EXPECT_STREQ(refused.what(), "first");
  }
}

TEST(OrderedWorkers, AbandonWhatIsLeftWhenDestroyedUnfinished) {
  std::atomic<int> worked = 0;
  {
    OrderedWorkers<int> workers(
        {.threads = 1, .in_flight_max = 100},
        [&](int&, unsigned) {
          ++worked;
          std::this_thread::sleep_for(20ms);
        },
        [](int&) {});
    for (int i = 0; i < 100; ++i) workers.submit(i);
  }
  EXPECT_LT(worked, 50);
}

TEST(OrderedWorkers, DoNotHangWhenDestroyedWithoutAnyItem) {
  const OrderedWorkers<int> workers(
      {.threads = 4, .in_flight_max = 4}, [](int&, unsigned) {}, [](int&) {});
}

TEST(OrderedWorkers, DoNotHangWhenDestroyedAfterAnErrorThatNobodyAskedFor) {
  OrderedWorkers<int> workers(
      {.threads = 2, .in_flight_max = 4}, [](int&, unsigned) { throw Refused("unheard"); },
      [](int&) {});
  workers.submit(0);
}

}  // namespace
}  // namespace walvault
