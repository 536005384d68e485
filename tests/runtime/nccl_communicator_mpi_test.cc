// ctest: timeout=120
// Collectives on device memory over a NCCL that is played by the host (testing/nccl/fake_nccl.h).
// Values are small whole numbers, so that sums are exact in any order: NCCL's is its own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "kernels/base/errors.h"
#include "tests/runtime/mpi_main.h"
#include "tests/testing/nccl/fake_nccl.h"

namespace sequela::testing {
namespace {

using ::testing::HasSubstr;

using Offsets = std::vector<std::int64_t>;

int Rank() { return World::Instance().rank(); }
int Size() { return World::Instance().size(); }

float Value(int rank, std::size_t i) {
  return static_cast<float>((i * 7 + static_cast<std::size_t>(rank) * 13) % 101);
}
float Sum(std::size_t i) {
  float sum = 0;
  for (int r = 0; r < Size(); ++r) sum += Value(r, i);
  return sum;
}
std::vector<float> Mine(std::size_t n) {
  std::vector<float> values(n);
  for (std::size_t i = 0; i < n; ++i) values[i] = Value(Rank(), i);
  return values;
}
std::vector<float> Sums(std::size_t n) {
  std::vector<float> sums(n);
  for (std::size_t i = 0; i < n; ++i) sums[i] = Sum(i);
  return sums;
}

// Shares of every kind: equal; growing from nothing; all with one rank.
std::vector<Offsets> KindsOfShares() {
  std::vector<Offsets> kinds(3, Offsets{0});
  for (int r = 0; r < Size(); ++r) {
    kinds[0].push_back(kinds[0].back() + 100);
    kinds[1].push_back(kinds[1].back() + 100 * r * r);
    kinds[2].push_back(kinds[2].back() + (r == Size() - 1 ? 77 : 0));
  }
  kinds.push_back(Offsets(static_cast<std::size_t>(Size()) + 1, 0));
  return kinds;
}

bool IsMine(const Offsets& offsets, std::size_t i) {
  const auto rank = static_cast<std::size_t>(Rank());
  return static_cast<std::int64_t>(i) >= offsets[rank] &&
         static_cast<std::int64_t>(i) < offsets[rank + 1];
}

// NCCL is started anew for every test; one rank alone needs none.
class NcclCommunicatorTest : public ::testing::Test {
 protected:
  void SetUp() override { Restart({}); }
  void TearDown() override {
    ranks_.reset();
    Host().Barrier();
    EXPECT_EQ(fake_->misuse(), "");
    TEST_SetNcclApi(nullptr);
  }

  static Communicator& Host() { return World::Instance().communicator(); }
  Communicator& Ranks() { return *ranks_; }
  FakeNccl& fake() { return *fake_; }
  CudaStream compute() { return compute_; }

  void Restart(const NcclPlan& plan) {
    ranks_.reset();
    fake_ = std::make_unique<FakeNccl>(Host(), std::vector{plan});
    TEST_SetNcclApi(fake_.get());
    compute_ = fake_->CreateStream();
    ranks_ = World::Instance().MakeTensorCommunicator(Backend::kCuda, 0, compute_);
  }
  // The message with which it fails; "" where it does not.
  static std::string FailureOf(const std::function<void()>& act) {
    try {
      act();
    } catch (const MachineError& error) {
      return error.what();
    }
    return "";
  }
  void Close() { ranks_.reset(); }

 private:
  std::unique_ptr<FakeNccl> fake_;
  CudaStream compute_ = nullptr;
  std::unique_ptr<Communicator> ranks_;
};

TEST_F(NcclCommunicatorTest, AllReduceAddsUp) {
  for (const std::size_t n : {0U, 1U, 3U, 1000U, 300000U}) {
    std::vector<float> values = Mine(n);
    Ranks().Wait(Ranks().StartAllReduceSum(values));
    EXPECT_EQ(values, Size() == 1 ? Mine(n) : Sums(n)) << n;
  }
}

TEST_F(NcclCommunicatorTest, ReduceScatterGivesEachRankItsShareAndLeavesTheRest) {
  for (const Offsets& offsets : KindsOfShares()) {
    const auto total = static_cast<std::size_t>(offsets.back());
    std::vector<float> values = Mine(total);
    Ranks().Wait(Ranks().StartReduceScatterSum(values, offsets));
    for (std::size_t i = 0; i < total; ++i) {
      ASSERT_EQ(values[i], IsMine(offsets, i) ? Sum(i) : Value(Rank(), i)) << i << " of " << total;
    }
  }
}

TEST_F(NcclCommunicatorTest, AllGatherBringsEveryShareToAll) {
  for (const Offsets& offsets : KindsOfShares()) {
    std::vector<std::byte> bytes(static_cast<std::size_t>(offsets.back()));
    const auto byte_at = [](std::size_t i) { return static_cast<std::byte>(i * 31 % 251); };
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      bytes[i] = IsMine(offsets, i) ? byte_at(i) : std::byte{255};
    }
    Ranks().Wait(Ranks().StartAllGather(bytes, offsets));
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      ASSERT_EQ(bytes[i], byte_at(i)) << i << " of " << bytes.size();
    }
  }
}

TEST_F(NcclCommunicatorTest, AnOperationReadsWhatTheComputeStreamWroteBefore) {
  if (Size() == 1) GTEST_SKIP() << "one rank takes no NCCL";
  std::vector<float> values(1000, -1.0F);
  // A kernel that ends late, of another length on each rank.
  fake().Enqueue(compute(), [&, polls = 50 * (Rank() + 1)]() mutable {
    if (polls-- > 0) return false;
    std::ranges::copy(Mine(1000), values.begin());
    return true;
  });
  const CommRequest request = Ranks().StartAllReduceSum(values);
  // What comes after it on the compute stream belongs to the next operation.
  std::vector<float> later(10, -1.0F);
  fake().Enqueue(compute(), [&] {
    std::ranges::copy(Mine(10), later.begin());
    return true;
  });
  const CommRequest next = Ranks().StartAllReduceSum(later);
  EXPECT_FALSE(Ranks().Done(request));
  Ranks().Wait(next);
  EXPECT_TRUE(Ranks().Done(request));
  EXPECT_EQ(values, Sums(1000));
  EXPECT_EQ(later, Sums(10));
}

TEST_F(NcclCommunicatorTest, ManyOperationsOfAllKindsBesideThoseOfTheHost) {
  constexpr std::size_t kOperations = 30;
  const Offsets offsets = KindsOfShares()[1];
  const auto share = static_cast<std::size_t>(offsets.back());
  std::vector<std::vector<float>> reduced(kOperations, Mine(500));
  std::vector<std::vector<float>> scattered(kOperations, Mine(share));
  std::vector<CommRequest> requests;
  for (std::size_t i = 0; i < kOperations; ++i) {
    requests.push_back(Ranks().StartAllReduceSum(reduced[i]));
    requests.push_back(Ranks().StartReduceScatterSum(scattered[i], offsets));
    if (i % 7 == 0) requests.push_back(Ranks().StartBarrier());
    if (i % 3 == 0) Ranks().Poll();
  }
  double loss = 0.5;
  Ranks().AllReduceSum(std::span(&loss, 1));
  EXPECT_EQ(loss, 0.5 * Size());
  for (const CommRequest request : requests) Ranks().Wait(request);
  for (std::size_t i = 0; i < kOperations; ++i) {
    EXPECT_EQ(reduced[i], Sums(500));
    for (std::size_t k = 0; k < share; ++k) {
      ASSERT_EQ(scattered[i][k], IsMine(offsets, k) ? Sum(k) : Value(Rank(), k));
    }
  }
}

TEST_F(NcclCommunicatorTest, TheHostsMemoryGoesByMpi) {
  const std::vector<std::string> texts =
      Ranks().AllGatherText(std::string(static_cast<std::size_t>(Rank()) * 3, 'a'));
  ASSERT_EQ(std::ssize(texts), Size());
  for (std::size_t r = 0; r < texts.size(); ++r) EXPECT_EQ(texts[r], std::string(r * 3, 'a'));
  std::int64_t last = Rank();
  Ranks().AllReduceMax(std::span(&last, 1));
  EXPECT_EQ(last, Size() - 1);
  const auto copy = Ranks().Duplicate("checkpoints");
  copy->Wait(copy->StartBarrier());
  EXPECT_TRUE(Ranks().Done({}));
}

TEST_F(NcclCommunicatorTest, EverythingIsGivenBack) {
  std::vector<float> values = Mine(10);
  Ranks().Wait(Ranks().StartAllReduceSum(values));
  Close();
  EXPECT_EQ(fake().num_alive(), 1) << "more than the compute stream";
}

TEST_F(NcclCommunicatorTest, ALateRankIsWaitedFor) {
  for (const char* call : {"CommInitRank", "AllReduce"}) {
    Restart(Rank() == 0 ? NcclPlan{call, NcclFault::kLag} : NcclPlan{});
    std::vector<float> values = Mine(10);
    Ranks().Wait(Ranks().StartAllReduceSum(values));
    EXPECT_EQ(values, Size() == 1 ? Mine(10) : Sums(10));
  }
}

TEST_F(NcclCommunicatorTest, OneRankThatIsNotWellStopsAllBeforeNcclStarts) {
  if (Size() == 1) GTEST_SKIP() << "one rank takes no NCCL";
  const int last = Size() - 1;
  const std::vector<std::pair<NcclPlan, int>> plans = {{{"SetDevice", NcclFault::kThrow}, last},
                                                       {{"GetUniqueId", NcclFault::kFail}, 0}};
  for (const auto& entry : plans) {  // no structured binding: clang lets no lambda capture one
    const NcclPlan& plan = entry.first;
    const int rank = entry.second;
    const std::string message = FailureOf([&] { Restart(Rank() == rank ? plan : NcclPlan{}); });
    EXPECT_THAT(message,
                HasSubstr("not all ranks are well: rank " + std::to_string(rank) + " on "));
    EXPECT_THAT(message,
                HasSubstr(plan.call == "SetDevice" ? "SetDevice failed" : "NCCL: error 2"));
  }
}

TEST_F(NcclCommunicatorTest, AfterAnErrorEveryCallSaysTheSame) {
  if (Size() == 1) GTEST_SKIP() << "one rank takes no NCCL";
  Ranks().SetActivity(12, "backward");
  const std::vector<NcclPlan> plans = {{"AllReduce", NcclFault::kFail, 1},
                                       {"AllReduce", NcclFault::kAsync, 1}};
  for (const NcclPlan& plan : plans) {
    Restart(plan);
    std::vector<float> values = Mine(10);
    Ranks().Wait(Ranks().StartAllReduceSum(values));
    const auto again = [&] { Ranks().Wait(Ranks().StartAllReduceSum(values)); };
    const std::string message = FailureOf(again);
    EXPECT_THAT(message, HasSubstr("all-reduce of step 12 (tensors, operation 2) failed: NCCL: "));
    EXPECT_THAT(message,
                HasSubstr("the other ranks: rank " + std::to_string(Rank() == 0) + " on "));
    EXPECT_THAT(message, HasSubstr("backward of step 12"));
    EXPECT_EQ(FailureOf(again), message);
    EXPECT_EQ(FailureOf([&] { Ranks().Poll(); }), message);
    Ranks().Barrier();  // the host's network is well
  }
}

TEST_F(NcclCommunicatorTest, AnEndThatHangsIsLeft) {
  for (const NcclPlan& plan :
       {NcclPlan{"Finalize", NcclFault::kHang}, NcclPlan{"Finalize", NcclFault::kFail}}) {
    Restart(plan);
    Close();  // returns: a test that does not end fails by its time limit
  }
}

}  // namespace
}  // namespace sequela::testing
