// ctest: labels=sanitize
#include "kernels/embedding.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <tuple>
#include <vector>

#include "tests/testing/poison.h"
#include "tests/testing/tolerance.h"

namespace sequela {
namespace {

using reference::Matrix;
using testing::PoisonedMatrix;
using testing::RandomMatrix;
using testing::WithinTheRule;

// Tokens whose frequencies differ as a vocabulary's do: token 0 about half the time.
std::vector<std::int32_t> SkewedTokens(std::int64_t count, std::int32_t vocabulary) {
  PhiloxStream stream(1, HashName("tokens"), 0);
  std::vector<std::int32_t> tokens;
  for (std::int64_t t = 0; t < count; ++t) {
    const double u = stream.NextUniform();
    tokens.push_back(static_cast<std::int32_t>(u * u * u * vocabulary));
  }
  return tokens;
}

TEST(EmbeddingPlanTest, EveryPositionIsInOnePieceOfItsToken) {
  const std::vector<std::int32_t> tokens = SkewedTokens(1000, 50);
  EmbeddingPlan plan;
  plan.Build(std::vector<std::int32_t>{7}, 8);  // and forgets it
  plan.Build(tokens, 50);
  std::vector<int> seen(tokens.size(), 0);
  std::map<std::int32_t, int> pieces_of;
  for (const auto& piece : plan.pieces()) {
    ++pieces_of[piece.token];
    EXPECT_LE(piece.end - piece.begin, EmbeddingPlan::kPiecePositions);
    for (std::int32_t i = piece.begin; i < piece.end; ++i) {
      const auto position = static_cast<std::size_t>(plan.position()[static_cast<std::size_t>(i)]);
      EXPECT_EQ(tokens[position], piece.token);
      ++seen[position];
    }
  }
  EXPECT_EQ(std::ranges::count(seen, 1), std::ssize(seen));
  std::int64_t partials = 0;
  for (const auto& piece : plan.pieces()) {
    if (pieces_of[piece.token] == 1) {
      EXPECT_EQ(piece.partial, -1);
    } else {
      EXPECT_EQ(piece.partial, partials++);
    }
  }
  EXPECT_EQ(plan.num_partials(), partials);
  EXPECT_LE(partials * 4, EmbeddingBackwardWorkspaceBytes(1000, 1));
}

TEST(EmbeddingPlanTest, RefusesTokensOutsideTheTable) {
  EmbeddingPlan plan;
  EXPECT_THROW(plan.Build(std::vector<std::int32_t>{0, 8}, 8), InternalError);
  EXPECT_THROW(plan.Build(std::vector<std::int32_t>{-1}, 8), InternalError);
}

struct Shape {
  std::int64_t tokens;
  std::int32_t vocabulary;
  std::int64_t channels;
};

class EmbeddingTest : public ::testing::TestWithParam<std::tuple<Shape, DType>> {
 protected:
  PoisonedMatrix Backward(int threads) {
    EmbeddingPlan plan;
    plan.Build(tokens_, shape_.vocabulary);
    testing::PoisonedWorkspace workspace(
        EmbeddingBackwardWorkspaceBytes(shape_.tokens, shape_.channels));
    PoisonedMatrix d_table(DType::kFloat32, before_, {0, 3});
    EmbeddingBackward({.num_threads = threads, .workspace = workspace.span()},
                      {.plan = &plan, .d_out_TD = d_out_.view(), .d_table_VD = d_table.view()});
    return d_table;
  }
  template <typename Real>
  Matrix<Real> ReferenceBackward() {
    Matrix<Real> sum(shape_.vocabulary, shape_.channels);
    const Matrix<double> d_out = d_out_.values();
    for (std::int64_t t = 0; t < shape_.tokens; ++t) {
      for (std::int64_t c = 0; c < shape_.channels; ++c) {
        sum(tokens_[static_cast<std::size_t>(t)], c) += static_cast<Real>(d_out(t, c));
      }
    }
    for (std::size_t i = 0; i < sum.values.size(); ++i) {
      sum.values[i] += static_cast<Real>(before_.values[i]);
    }
    return sum;
  }

  Shape shape_ = std::get<0>(GetParam());
  DType type_ = std::get<1>(GetParam());
  std::vector<std::int32_t> tokens_ = SkewedTokens(shape_.tokens, shape_.vocabulary);
  PoisonedMatrix d_out_{type_, RandomMatrix(shape_.tokens, shape_.channels, 2), {5, 1}};
  Matrix<double> before_ =
      PoisonedMatrix(DType::kFloat32, RandomMatrix(shape_.vocabulary, shape_.channels, 3)).values();
};

TEST_P(EmbeddingTest, ForwardCopiesRows) {
  PoisonedMatrix table(type_, RandomMatrix(shape_.vocabulary, shape_.channels, 4), {3, 1});
  PoisonedMatrix out(type_, shape_.tokens, shape_.channels, {1, 0});
  EmbeddingForward({.num_threads = 2},
                   {.token = tokens_, .table_VD = table.view(), .out_TD = out.view()});
  const Matrix<double> rows = table.values();
  const Matrix<double> copies = out.values();
  for (std::int64_t t = 0; t < shape_.tokens; ++t) {
    for (std::int64_t c = 0; c < shape_.channels; ++c) {
      ASSERT_EQ(copies(t, c), rows(tokens_[static_cast<std::size_t>(t)], c));
    }
  }
  EXPECT_TRUE(out.PoisonIntact());
}

TEST_P(EmbeddingTest, BackwardErrorIsWithinTheRule) {
  PoisonedMatrix d_table = Backward(2);
  EXPECT_TRUE(WithinTheRule(d_table.values(), ReferenceBackward<float>().As<double>(),
                            ReferenceBackward<double>()));
  EXPECT_TRUE(d_table.PoisonIntact());
}

TEST_P(EmbeddingTest, TheNumberOfThreadsChangesNoBit) {
  const auto bytes = Backward(1).bytes();
  for (const int threads : {2, 3, 7}) EXPECT_EQ(Backward(threads).bytes(), bytes);
}

INSTANTIATE_TEST_SUITE_P(Shapes, EmbeddingTest,
                         ::testing::Combine(::testing::Values(Shape{1, 1, 1}, Shape{0, 3, 8},
                                                              Shape{700, 1, 5}, Shape{65, 9, 33},
                                                              Shape{3000, 400, 64}),
                                            ::testing::Values(DType::kFloat32, DType::kBFloat16)));

TEST(EmbeddingTest, RefusesTokensOutsideTheTable) {
  PoisonedMatrix table(DType::kFloat32, 4, 2);
  PoisonedMatrix out(DType::kFloat32, 1, 2);
  const std::vector<std::int32_t> token = {4};
  EXPECT_THROW(
      EmbeddingForward({}, {.token = token, .table_VD = table.view(), .out_TD = out.view()}),
      InternalError);
}

}  // namespace
}  // namespace sequela
