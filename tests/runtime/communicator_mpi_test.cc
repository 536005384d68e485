// ctest: labels=sanitize timeout=120
// Collectives against sums that every rank can form by itself.
#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <thread>

#include "kernels/base/errors.h"
#include "tests/runtime/mpi_main.h"
#include "tests/runtime/toy_training.h"

namespace sequela {
namespace {

using testing::Noise;

Communicator& Ranks() { return World::Instance().communicator(); }

float Value(int rank, std::size_t i) {
  return Noise(static_cast<std::uint64_t>(rank) + 1, 9, static_cast<std::int64_t>(i));
}

std::vector<float> Mine(std::size_t n) {
  std::vector<float> values(n);
  for (std::size_t i = 0; i < n; ++i) values[i] = Value(Ranks().rank(), i);
  return values;
}

// ((r0 + r1) + r2) + ... in fp32: what the communicator promises, bit for bit.
float Sum(std::size_t i) {
  float sum = Value(0, i);
  for (int r = 1; r < Ranks().size(); ++r) sum += Value(r, i);
  return sum;
}

void ExpectSums(std::span<const float> values, std::size_t first, const char* what) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    ASSERT_EQ(values[i], Sum(first + i)) << what << " at " << first + i;
  }
}

TEST(CommunicatorTest, AllReduceAddsInTheOrderOfRanks) {
  for (const std::size_t n : {0U, 1U, 3U, 1000U, 300000U}) {
    std::vector<float> values = Mine(n);
    Ranks().Wait(Ranks().StartAllReduceSum(values));
    ExpectSums(values, 0, "nonblocking");
    values = Mine(n);
    if (n <= 1000) {
      Ranks().AllReduceSum(std::span(values));
      ExpectSums(values, 0, "blocking");
    }
  }
}

TEST(CommunicatorTest, ReduceScatterGivesEachRankItsRangeAndLeavesTheRest) {
  // Uneven: rank 0 has nothing, the last the most.
  std::vector<std::int64_t> offsets = {0};
  for (int r = 0; r < Ranks().size(); ++r) offsets.push_back(offsets.back() + 1000 * r * r);
  const auto total = static_cast<std::size_t>(offsets.back());
  std::vector<float> values = Mine(total);
  Ranks().Wait(Ranks().StartReduceScatterSum(values, offsets));
  const auto mine = static_cast<std::size_t>(Ranks().rank());
  for (std::size_t i = 0; i < total; ++i) {
    const bool own = static_cast<std::int64_t>(i) >= offsets[mine] &&
                     static_cast<std::int64_t>(i) < offsets[mine + 1];
    ASSERT_EQ(values[i], own ? Sum(i) : Value(Ranks().rank(), i)) << i;
  }
}

TEST(CommunicatorTest, ManyOperationsAtOnceKeepTheirOrderWhateverTheTiming) {
  constexpr std::size_t kOperations = 40;
  constexpr std::size_t kSize = 5000;
  std::vector<float> values = Mine(kOperations * kSize);
  std::vector<CommRequest> requests;
  for (std::size_t i = 0; i < kOperations; ++i) {
    // Each rank is slow at another moment.
    if (static_cast<int>(i) % Ranks().size() == Ranks().rank()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    requests.push_back(Ranks().StartAllReduceSum(std::span(values).subspan(i * kSize, kSize)));
    if (i % 3 == 0) Ranks().Poll();
  }
  std::int64_t flag = Ranks().rank();
  Ranks().AllReduceMax({&flag, 1});  // behind the others
  EXPECT_EQ(flag, Ranks().size() - 1);
  for (const CommRequest request : requests) Ranks().Wait(request);
  ExpectSums(values, 0, "all");
}

TEST(CommunicatorTest, AllGatherAndBroadcastCarryBytes) {
  const int rank = Ranks().rank();
  const std::vector<std::string> texts =
      Ranks().AllGatherText(std::string(static_cast<std::size_t>(rank) * 3, 'a'));
  ASSERT_EQ(std::ssize(texts), Ranks().size());
  for (std::size_t r = 0; r < texts.size(); ++r) EXPECT_EQ(texts[r], std::string(r * 3, 'a'));
  const int last = Ranks().size() - 1;
  EXPECT_EQ(Ranks().BroadcastText(rank == last ? "from the last" : "mine", last), "from the last");
  EXPECT_EQ(Ranks().BroadcastText(rank == 0 ? "" : "mine", 0), "");
  std::int64_t counts[2] = {1, rank};
  Ranks().AllReduceSum(std::span(counts));
  EXPECT_EQ(counts[0], Ranks().size());
  EXPECT_EQ(counts[1], Ranks().size() * last / 2);
}

TEST(CommunicatorTest, AWaitBeyondItsDeadlineNamesWhoIsMissing) {
  if (Ranks().size() == 1) GTEST_SKIP() << "needs a second rank";
  const auto doomed = Ranks().Duplicate("doomed");
  doomed->SetDeadline(0.3);
  Ranks().SetActivity(12, "idling");
  Ranks().Barrier();
  if (Ranks().rank() == 0) {
    try {
      doomed->Barrier();
      FAIL() << "nobody came, and it did not notice";
    } catch (const MachineError& error) {
      const std::string message = error.what();
      EXPECT_NE(message.find("barrier of step 12"), std::string::npos) << message;
      EXPECT_NE(message.find("rank 1 on "), std::string::npos) << message;
      EXPECT_NE(message.find("idling of step 12"), std::string::npos) << message;
    }
  }
  Ranks().Barrier();
  // The missing ranks come after all, so that nothing is left under way.
  doomed->SetDeadline(60);
  if (Ranks().rank() != 0) doomed->Barrier();
  doomed->Barrier();
}

TEST(WorldTest, LocalRanksAreThoseOfThisMachine) {
  const World& world = World::Instance();
  EXPECT_EQ(world.local_size(), world.size());
  EXPECT_EQ(world.local_rank(), world.rank());
  EXPECT_FALSE(world.host().empty());
}

}  // namespace
}  // namespace sequela
