#include "archiving/push_ahead.h"

#include <gtest/gtest.h>

#include <mutex>
#include <thread>

#include "support/push_ahead_fixture.h"

namespace walvault {
namespace {

TEST_F(PushAheadTest, ArchivesWhatWaitsAndItsOwnCallsFindItDone) {
  for (std::uint64_t number = 1; number <= 7; ++number) make_ready(number);
  const auto first = offer(1);
  EXPECT_FALSE(first.offered.already_there);
  EXPECT_EQ(first.ahead, 4u);
  EXPECT_EQ(notes(), (Names{name(2), name(3), name(4), name(5)}));
  for (std::uint64_t number = 1; number <= 7; ++number) {
    EXPECT_EQ(is_archived(number), number <= 5) << number;
  }
  for (std::uint64_t number = 2; number <= 5; ++number) {
    const auto next = offer(number);
    EXPECT_TRUE(next.offered.already_there);
    EXPECT_EQ(next.offered.name, name(number));
    EXPECT_GT(next.offered.stored_bytes, 0u);
    EXPECT_EQ(next.ahead, 0u) << "what is done is done at once";
    EXPECT_EQ(puts_of(number), 1);
  }
  EXPECT_TRUE(notes().empty());
  EXPECT_EQ(offer(6).ahead, 1u);
  EXPECT_TRUE(offer(7).offered.already_there);
}

TEST_F(PushAheadTest, TakesWholeSegmentsOfTheSameTimelineOnly) {
  make_ready(5);
  make_ready("00000002.history", as_bytes("1\t0/3000000\tno recovery target specified\n"));
  make_ready(name(5) + ".00000028.backup", as_bytes("START WAL LOCATION"));
  make_ready(name(6) + ".partial", chained_segment(1, 6));
  auto descendant = spec(6);
  descendant.timeline = 2;
  make_ready(descendant.name(), chained_segment(2, 6));
  make_ready(4);
  EXPECT_EQ(offer(5).ahead, 0u);
  EXPECT_TRUE(notes().empty());
  EXPECT_EQ(offer(4).ahead, 0u);
}

TEST_F(PushAheadTest, NoneAheadWhenThatIsOff) {
  make_ready(1);
  make_ready(2);
  EXPECT_EQ(offer(1, 0).ahead, 0u);
  EXPECT_FALSE(is_archived(2));
}

TEST_F(PushAheadTest, AFailureAheadIsToldByItsOwnCallAlone) {
  make_ready(1);
  make_ready(name(2), Bytes(100));
  make_ready(3);
  EXPECT_EQ(offer(1).ahead, 0u);
  EXPECT_FALSE(is_archived(3)) << "it stops at the first";
  EXPECT_EQ(error_of([&] { (void)offer(2); }), "corrupt");
}

// It is archived all the same, and its own call warns.
TEST_F(PushAheadTest, DamageIsToldByItsOwnCall) {
  make_ready(1);
  auto damaged = chained_segment(1, 2);
  damaged[100] ^= 1;
  make_ready(name(2), damaged);
  EXPECT_EQ(offer(1).ahead, 1u);
  EXPECT_TRUE(notes().empty());
  const auto second = offer(2);
  EXPECT_TRUE(second.offered.already_there);
  EXPECT_NE(second.offered.damage, "");
}

// What is behind a segment that is refused is not this cluster's history.
TEST_F(PushAheadTest, NothingIsStoredBehindASegmentThatIsRefused) {
  make_ready(name(1), Bytes(100));
  make_ready(2);
  make_ready(3);
  EXPECT_EQ(error_of([&] { (void)offer(1); }), "corrupt");
  EXPECT_FALSE(is_archived(2));
  EXPECT_TRUE(notes().empty());
}

// Two servers on one timeline: the other was first with segments 1 and then 3.
TEST_F(PushAheadTest, NothingIsStoredBehindAConflict) {
  archive_others(archive_, 1);
  for (std::uint64_t number = 1; number <= 5; ++number) make_ready(number);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(error_of([&] { (void)offer(1); }), "conflict");
    for (std::uint64_t number = 2; number <= 5; ++number) EXPECT_FALSE(is_archived(number));
  }
  made_.storage.remove({archive_.key_of(name(1))});
  archive_others(archive_, 3);
  EXPECT_EQ(offer(1).ahead, 1u);
  EXPECT_TRUE(is_archived(2));
  EXPECT_FALSE(is_archived(4));
  EXPECT_EQ(error_of([&] { (void)offer(3); }), "conflict");
  EXPECT_FALSE(is_archived(4));
}

TEST_F(PushAheadTest, NothingIsDoneAheadThatCanNotBeNoted) {
  std::ofstream(directory_.path("notes")) << "no directory";
  make_ready(1);
  make_ready(2);
  EXPECT_EQ(offer(1).ahead, 0u);
  EXPECT_FALSE(is_archived(2));
}

class ManyUploadsTest : public PushAheadTest {
 protected:
  ManyUploadsTest() { uploads_ = 4; }
};

TEST_F(ManyUploadsTest, ArchiveWhatWaitsBehindTheOfferedOne) {
  for (std::uint64_t number = 1; number <= 7; ++number) make_ready(number);
  std::vector<std::string> order;
  hooked_.before = [&](std::string_view operation, std::string_view key) {
    if (operation != "put") return;
    // While it takes its time the others become ready to be stored.
    if (key == archive_.key_of(name(1))) std::this_thread::sleep_for(std::chrono::milliseconds(50));
    const std::lock_guard lock(mutex_);
    order.emplace_back(key);
  };
  const auto first = offer(1);
  EXPECT_EQ(first.offered.name, name(1));
  EXPECT_EQ(first.ahead, 4u);
  ASSERT_EQ(order.size(), 5u);
  EXPECT_EQ(order.front(), archive_.key_of(name(1)));
  EXPECT_EQ(notes(), (Names{name(2), name(3), name(4), name(5)}));
  for (std::uint64_t number = 2; number <= 5; ++number) {
    EXPECT_TRUE(offer(number).offered.already_there);
    EXPECT_EQ(puts_of(number), 1);
  }
}

// Two servers on one timeline, as above.
TEST_F(ManyUploadsTest, StoreNothingBehindWhatIsThereAlready) {
  archive_others(archive_, 1);
  for (std::uint64_t number = 1; number <= 5; ++number) make_ready(number);
  EXPECT_EQ(error_of([&] { (void)offer(1); }), "conflict");
  for (std::uint64_t number = 2; number <= 5; ++number) EXPECT_FALSE(is_archived(number));
  made_.storage.remove({archive_.key_of(name(1))});
  archive_others(archive_, 3);
  EXPECT_EQ(offer(1).ahead, 1u);
  EXPECT_FALSE(is_archived(4));
}

// The other one has the same history up to the first segment, and comes in between.
TEST_F(ManyUploadsTest, LookWhenTheOfferedOneIsStored) {
  for (std::uint64_t number = 1; number <= 5; ++number) make_ready(number);
  hooked_.before = [&](std::string_view operation, std::string_view key) {
    if (operation != "put" || key != archive_.key_of(name(1))) return;
    const WalArchive others(made_.repository, test_cluster());
    archive_file(others, name(1), chained_segment(1, 1));
    auto second = chained_segment(1, 2);
    second[100] ^= 1;
    archive_file(others, name(2), second);
  };
  EXPECT_TRUE(offer(1).offered.already_there);
  for (std::uint64_t number = 3; number <= 5; ++number) EXPECT_FALSE(is_archived(number));
}

TEST_F(ManyUploadsTest, DoNotLookBehindOneThatFailed) {
  for (std::uint64_t number = 1; number <= 5; ++number) make_ready(number);
  hooked_.before = [&](std::string_view operation, std::string_view) {
    if (operation == "put") throw Error(ErrorKind::unavailable, "the store is gone");
    EXPECT_FALSE(operation.starts_with("list"));
  };
  EXPECT_EQ(error_of([&] { (void)offer(1); }), "unavailable");
}

// Its call is not to last longer still.
TEST_F(ManyUploadsTest, StoreNothingBehindOneThatTookLong) {
  for (std::uint64_t number = 1; number <= 5; ++number) make_ready(number);
  hooked_.before = [&](std::string_view operation, std::string_view key) {
    if (operation == "put" && key == archive_.key_of(name(1))) {
      made_.clock.advance(std::chrono::seconds(11));
    }
  };
  const auto result = offer(1);
  EXPECT_EQ(result.offered.name, name(1));
  EXPECT_EQ(result.ahead, 0u);
  for (std::uint64_t number = 2; number <= 5; ++number) EXPECT_FALSE(is_archived(number));
}

class TwoArchivesTest : public ManyUploadsTest {
 protected:
  TwoArchivesTest() {
    elsewhere_ = [this](const PushOptions::DoIn& what) {
      what(other_);
      return is_everywhere_;
    };
  }
  MemoryRepository made_elsewhere_;
  Repository other_repository_ = Repository::open(made_elsewhere_.storage);
  WalArchive other_{other_repository_, test_cluster()};
  bool is_everywhere_ = true;
};

TEST_F(TwoArchivesTest, BothGetWhatWaits) {
  for (std::uint64_t number = 1; number <= 5; ++number) make_ready(number);
  EXPECT_EQ(offer(1).ahead, 4u);
  for (std::uint64_t number = 1; number <= 5; ++number) {
    EXPECT_TRUE(is_archived(number));
    EXPECT_TRUE(other_.find_header(other_.key_of(name(number))).has_value());
  }
}

TEST_F(TwoArchivesTest, StoreNothingBehindWhatIsThereAlreadyInTheOther) {
  for (std::uint64_t number = 1; number <= 5; ++number) make_ready(number);
  archive_others(other_, 3);
  EXPECT_EQ(offer(1).ahead, 1u);
  EXPECT_EQ(notes(), Names{name(2)});
  for (std::uint64_t number = 3; number <= 5; ++number) EXPECT_FALSE(is_archived(number));
}

TEST_F(TwoArchivesTest, StoreNothingAheadWhileOneIsAway) {
  is_everywhere_ = false;
  for (std::uint64_t number = 1; number <= 5; ++number) make_ready(number);
  EXPECT_EQ(offer(1).ahead, 0u);
  EXPECT_FALSE(is_archived(2));
}

TEST_F(ManyUploadsTest, NoteNothingBehindOneThatFailed) {
  hooked_.before = [&](std::string_view operation, std::string_view key) {
    if (operation == "put" && key == archive_.key_of(name(3))) {
      throw Error(ErrorKind::unavailable, "the store is gone");
    }
  };
  for (std::uint64_t number = 1; number <= 30; ++number) make_ready(number);
  EXPECT_EQ(offer(1, 64).ahead, 1u);
  EXPECT_EQ(notes(), Names{name(2)});
  // Those that were under way at that moment, and no more.
  for (std::uint64_t number = 3 + uploads_; number <= 30; ++number) {
    EXPECT_FALSE(is_archived(number)) << number;
  }
}

TEST_F(ManyUploadsTest, StoreNothingBehindOneThatCannotBeRead) {
  for (std::uint64_t number = 1; number <= 9; ++number) make_ready(number);
  make_ready(name(3), Bytes(100));
  EXPECT_EQ(offer(1, 64).ahead, 1u);
  for (std::uint64_t number = 3; number <= 9; ++number) EXPECT_FALSE(is_archived(number));
  EXPECT_EQ(error_of([&] { (void)offer(3); }), "corrupt");
}

// Archived by whoever was first: a standby that archives too finds it done.
TEST_F(ManyUploadsTest, GoOnOneByOneWhereAllIsThereAlready) {
  for (std::uint64_t number = 1; number <= 5; ++number) {
    make_ready(number);
    archive_file(archive_, name(number), chained_segment(1, number));
  }
  EXPECT_EQ(offer(1).ahead, 4u);
  EXPECT_EQ(notes(), (Names{name(2), name(3), name(4), name(5)}));
}

TEST_F(ManyUploadsTest, DoNotFailTheOfferedOneThatIsStored) {
  hooked_.before = [&](std::string_view operation, std::string_view) {
    if (operation == "list") throw std::bad_alloc();
  };
  make_ready(1);
  make_ready(2);
  EXPECT_EQ(offer(1).offered.name, name(1));
  EXPECT_TRUE(is_archived(1));
}

}  // namespace
}  // namespace walvault
