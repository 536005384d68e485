// ctest: cost=40 timeout=300 mpi
// How a job of several GPUs ends when NCCL, a GPU or a rank fails: exit code, time, and what the
// user reads. The test starts itself under the launcher; with --as=FAULTS it plays the ranks, the
// last of which has the faults (testing/nccl/fake_nccl.h).
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <map>
#include <sstream>
#include <thread>

#include "kernels/base/errors.h"
#include "runtime/world.h"
#include "tests/testing/nccl/fake_nccl.h"

namespace sequela::testing {
namespace {

using ::testing::HasSubstr;

constexpr double kDeadlineSeconds = 2;
std::string g_program;

// "CALL:FAULT[:SKIP]", several joined by "+"; "stall" is none of NCCL's.
std::vector<NcclPlan> ParseFaults(const std::string& text) {
  const std::map<std::string, NcclFault> faults = {
      {"throw", NcclFault::kThrow}, {"fail", NcclFault::kFail}, {"async", NcclFault::kAsync},
      {"hang", NcclFault::kHang},   {"lag", NcclFault::kLag},   {"die", NcclFault::kDie}};
  std::vector<NcclPlan> plans;
  std::istringstream stream(text);
  for (std::string one; std::getline(stream, one, '+');) {
    std::istringstream parts(one);
    std::string call;
    std::string fault;
    std::string skip = "0";
    std::getline(parts, call, ':');
    std::getline(parts, fault, ':');
    std::getline(parts, skip, ':');
    if (faults.contains(fault)) plans.push_back({call, faults.at(fault), std::atoi(skip.c_str())});
  }
  return plans;
}

// Three steps of something like training, every kind of operation in each.
void Train(World& world, Communicator& tensors, bool stalls) {
  std::vector<float> gradients(1000, 1.0F);
  std::vector<std::int64_t> offsets = {0};
  for (int r = 1; r <= world.size(); ++r)
    offsets.push_back(1000 * r * r / world.size() / world.size());
  for (int step = 1; step <= 3; ++step) {
    tensors.SetActivity(step, "backward");
    if (stalls && step == 2) std::this_thread::sleep_for(std::chrono::seconds(60));
    const CommRequest whole = tensors.StartAllReduceSum(gradients);
    const CommRequest shares = tensors.StartReduceScatterSum(gradients, offsets);
    const CommRequest gather =
        tensors.StartAllGather(std::as_writable_bytes(std::span(gradients)).first(1000), offsets);
    for (const CommRequest request : {whole, shares, gather}) tensors.Wait(request);
    double loss = 1;
    tensors.AllReduceSum(std::span(&loss, 1));
  }
}

int PlayRank(const std::string& faults) {
  World& world = World::Start();
  const bool is_faulty = world.rank() == world.size() - 1;
  world.communicator().SetDeadline(kDeadlineSeconds);
  FakeNccl fake(world.communicator(), is_faulty ? ParseFaults(faults) : std::vector<NcclPlan>{});
  TEST_SetNcclApi(&fake);
  {
    const auto tensors = world.MakeTensorCommunicator(Backend::kCuda, 0, fake.CreateStream());
    Train(world, *tensors, is_faulty && faults == "stall");
  }
  world.Finalize();
  return fake.misuse().empty() ? 0 : 1;
}

struct Ending {
  int code = -1;
  std::string text;
};

Ending RunRanks(int ranks, const std::string& faults) {
  const std::string command = fmt::format("timeout 60 {}/launch/mpirun.sh {} {} --as={} 2>&1",
                                          SEQUELA_SOURCE_DIR, ranks, g_program, faults);
  Ending ending;
  FILE* pipe = ::popen(command.c_str(), "r");
  std::array<char, 4096> chunk{};
  while (std::fgets(chunk.data(), chunk.size(), pipe) != nullptr) ending.text += chunk.data();
  const int status = ::pclose(pipe);
  ending.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return ending;
}

// A job that hangs is ended by `timeout`, with another exit code than 4. The message names operation,
// step and ranks.
void ExpectFailure(int ranks, const std::string& faults, const std::vector<std::string>& words) {
  SCOPED_TRACE(faults);
  const Ending ending = RunRanks(ranks, faults);
  EXPECT_EQ(ending.code, 4) << ending.text;
  for (const std::string& word : words) EXPECT_THAT(ending.text, HasSubstr(word));
  EXPECT_EQ(ending.text.find("terminate called"), std::string::npos) << ending.text;
}

TEST(NcclFaultsTest, WithoutAFaultTheJobSucceeds) {
  for (const char* faults : {"none", "AllReduce:lag:1", "CommInitRank:lag"}) {
    const Ending ending = RunRanks(3, faults);
    EXPECT_EQ(ending.code, 0) << faults << ending.text;
    EXPECT_EQ(ending.text, "");
  }
}

TEST(NcclFaultsTest, ARankThatIsNotWellAtTheStart) {
  ExpectFailure(3, "SetDevice:throw", {"not all ranks are well: rank 2 on ", "SetDevice failed"});
}

TEST(NcclFaultsTest, TheStartOfNccl) {
  ExpectFailure(2, "CommInitRank:fail", {"the start of NCCL (tensors) ", "rank 1 on "});
  ExpectFailure(2, "CommInitRank:async", {"the start of NCCL (tensors) ", "rank 1 on "});
  ExpectFailure(2, "CommInitRank:hang",
                {"the start of NCCL (tensors) waited more than 2 s", "rank 1 on "});
}

TEST(NcclFaultsTest, AnOperationFails) {
  ExpectFailure(2, "AllReduce:fail:1", {"all-reduce of step 2 (tensors, operation 4) "});
  ExpectFailure(2, "AllReduce:async:1", {"all-reduce of step 2 (tensors, operation 4) "});
  ExpectFailure(2, "Reduce:fail:2", {"reduce-scatter of step 2 (tensors, operation 5) "});
  ExpectFailure(2, "GroupEnd:async:3", {"all-gather of step 2 (tensors, operation 6) "});
}

TEST(NcclFaultsTest, AnOperationHangs) {
  ExpectFailure(3, "AllReduce:hang:1",
                {"all-reduce of step 2 (tensors, operation 4) waited more than 2 s", "rank 1 on ",
                 "rank 2 on ", "backward of step 2 for ", "waiting in all-reduce"});
  ExpectFailure(2, "Broadcast:hang", {"all-gather of step 1 (tensors, operation 3) waited"});
}

TEST(NcclFaultsTest, AnAbortThatHangsAsWell) {
  ExpectFailure(2, "AllReduce:hang:1+Abort:hang",
                {"all-reduce of step 2 (tensors, operation 4) waited more than 2 s"});
}

TEST(NcclFaultsTest, ARankThatStallsElsewhereIsNamed) {
  ExpectFailure(
      2, "stall",
      {"all-reduce of step 2 (tensors, operation 4) waited more than 2 s; the other ranks: "
       "rank 1 on ",
       "(backward of step 2 for "});
}

TEST(NcclFaultsTest, TheGpuFails) {
  ExpectFailure(2, "EventDone:throw:20",
                {"of step ", "failed: EventDone failed", "the other ranks: rank 0 on "});
}

TEST(NcclFaultsTest, ARankThatDiesEndsTheJob) {
  for (const char* faults : {"CommInitRank:die", "AllReduce:die:1"}) {
    const Ending ending = RunRanks(2, faults);
    EXPECT_EQ(ending.code, 137) << faults << ending.text;  // mpirun's own
  }
}

TEST(NcclFaultsTest, AnEndThatHangsCostsNeitherTheExitCodeNorTheTime) {
  const Ending ending = RunRanks(2, "Finalize:hang");
  EXPECT_EQ(ending.code, 0) << ending.text;
}

}  // namespace
}  // namespace sequela::testing

int main(int argc, char** argv) {
  sequela::testing::g_program = argv[0];
  if (argc > 1 && std::string(argv[1]).starts_with("--as=")) {
    try {
      return sequela::testing::PlayRank(std::string(argv[1]).substr(5));
    } catch (const sequela::MachineError& error) {
      sequela::World& world = sequela::World::Instance();
      world.Abort(4, fmt::format("{}: {}", world.Name(), error.what()));
    }
  }
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
