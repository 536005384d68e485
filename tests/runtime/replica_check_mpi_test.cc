// ctest: timeout=60
// One bit that differs on one rank is found and named.
#include "runtime/replica_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/base/errors.h"
#include "tests/runtime/mpi_main.h"
#include "tests/runtime/toy_training.h"

namespace sequela {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class ReplicaCheckTest : public ::testing::TestWithParam<DType> {
 protected:
  ReplicaCheckTest() { training_.Step(0); }
  Communicator& Ranks() { return World::Instance().communicator(); }
  std::string Fault() {
    try {
      CheckReplicas(training_.buffers, Ranks(), 12);
    } catch (const MachineError& error) {
      return error.what();
    }
    return "";
  }
  // In one of the last rank's parameters.
  void FlipABit(const char* name) {
    if (Ranks().rank() + 1 != Ranks().size()) return;
    const int piece = training_.table.Find(name);
    const bool is_vector = training_.table.piece(piece).num_dims == 1;
    const TensorView view =
        is_vector ? training_.buffers.Vector(piece) : training_.buffers.Weight(piece);
    static_cast<std::byte*>(view.data)[5] ^= std::byte{1};
  }

  testing::ToyTraining training_{Ranks(), 1, GetParam()};
};

TEST_P(ReplicaCheckTest, ReplicasOfATrainedModelAreEqual) { EXPECT_EQ(Fault(), ""); }

TEST_P(ReplicaCheckTest, ABitOfAMatrixIsNamed) {
  if (Ranks().size() == 1) return;
  FlipABit("k.weight");
  EXPECT_THAT(Fault(), AllOf(HasSubstr("step 12"), HasSubstr("k.weight"),
                             HasSubstr(fmt::format("rank {}", Ranks().size() - 1))));
}

TEST_P(ReplicaCheckTest, ABitOfAVectorIsNamed) {
  if (Ranks().size() == 1) return;
  FlipABit("q.bias");
  EXPECT_THAT(Fault(), HasSubstr("q.bias"));
}

INSTANTIATE_TEST_SUITE_P(DTypes, ReplicaCheckTest,
                         ::testing::Values(DType::kFloat32, DType::kBFloat16));

}  // namespace
}  // namespace sequela
