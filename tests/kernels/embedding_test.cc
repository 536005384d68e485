// ctest: labels=sanitize;threads cuda
#include "kernels/embedding.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
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
using testing::SharedVector;
using testing::Synchronize;
using testing::TestExec;
using testing::WithinTheRule;

// Tokens whose frequencies differ as a vocabulary's do: token 0 about half the time.
SharedVector<std::int32_t> SkewedTokens(std::int64_t count, std::int32_t vocabulary) {
  PhiloxStream stream(1, HashName("tokens"), 0);
  SharedVector<std::int32_t> tokens;
  for (std::int64_t t = 0; t < count; ++t) {
    const double u = stream.NextUniform();
    tokens.push_back(static_cast<std::int32_t>(u * u * u * vocabulary));
  }
  return tokens;
}

TEST(EmbeddingPlanTest, EveryPositionIsInOnePieceOfItsToken) {
  const SharedVector<std::int32_t> tokens = SkewedTokens(1000, 50);
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

TEST(EmbeddingPlanTest, SplitTokensOwnThePartialSums) {
  const SharedVector<std::int32_t> tokens = SkewedTokens(2000, 30);
  EmbeddingPlan plan;
  plan.Build(tokens, 30);
  ASSERT_GT(plan.split_tokens().size(), 1U);
  std::int64_t partials = 0;
  for (const auto& split : plan.split_tokens()) {
    EXPECT_EQ(split.first_partial, partials);
    EXPECT_GT(split.num_partials, 1);
    for (const auto& piece : plan.pieces()) {
      const bool inside = piece.partial >= split.first_partial &&
                          piece.partial < split.first_partial + split.num_partials;
      EXPECT_EQ(inside, piece.token == split.token);
    }
    partials += split.num_partials;
  }
  EXPECT_EQ(partials, plan.num_partials());
}

TEST(EmbeddingPlanTest, TheImageHoldsTheLists) {
  for (const std::int64_t count : {0, 1, 64, 65, 66, 1000}) {
    EmbeddingPlan plan;
    plan.Build(SkewedTokens(count, 3), 3);
    const auto layout = plan.image_layout();
    ASSERT_LE(layout.bytes, EmbeddingPlan::ImageBytesBound(count));
    std::vector<std::byte> image(static_cast<std::size_t>(layout.bytes) + 8, std::byte{0x5a});
    plan.WriteImage(image);
    const auto expect = [&](std::int64_t begin, const auto& values) {
      const auto bytes = std::as_bytes(values);
      EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), image.begin() + begin));
    };
    expect(layout.pieces, plan.pieces());
    expect(layout.split_tokens, plan.split_tokens());
    expect(layout.position, plan.position());
    EXPECT_EQ(image.back(), std::byte{0x5a});
    EXPECT_THROW(plan.WriteImage(std::span(image).first(image.size() - 9)), InternalError);
  }
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
    SharedVector<std::byte> image(static_cast<std::size_t>(plan.ImageBytes()));
    plan.WriteImage(image);
    testing::PoisonedWorkspace workspace(
        EmbeddingBackwardWorkspaceBytes(shape_.tokens, shape_.channels));
    PoisonedMatrix d_table(DType::kFloat32, before_, {0, 3});
    EmbeddingBackward(TestExec(threads, workspace.span()), {.plan = &plan,
                                                            .plan_image = image.data(),
                                                            .d_out_TD = d_out_.view(),
                                                            .d_table_VD = d_table.view()});
    Synchronize();
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
  SharedVector<std::int32_t> tokens_ = SkewedTokens(shape_.tokens, shape_.vocabulary);
  PoisonedMatrix d_out_{type_, RandomMatrix(shape_.tokens, shape_.channels, 2), {5, 1}};
  Matrix<double> before_ =
      PoisonedMatrix(DType::kFloat32, RandomMatrix(shape_.vocabulary, shape_.channels, 3)).values();
};

TEST_P(EmbeddingTest, ForwardCopiesRows) {
  PoisonedMatrix table(type_, RandomMatrix(shape_.vocabulary, shape_.channels, 4), {3, 1});
  PoisonedMatrix out(type_, shape_.tokens, shape_.channels, {1, 0});
  EmbeddingForward(TestExec(2), {.token = tokens_, .table_VD = table.view(), .out_TD = out.view()});
  Synchronize();
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

INSTANTIATE_TEST_SUITE_P(
    Shapes, EmbeddingTest,
    ::testing::Combine(::testing::Values(Shape{1, 1, 1}, Shape{0, 3, 8}, Shape{700, 1, 5},
                                         Shape{65, 9, 33},
                                         Shape{testing::OnPtx() ? 600 : 3000, 400, 64},
                                         // Wide rows, broken and whole packs.
                                         Shape{9, 4, 1023}, Shape{80, 2, 1028}, Shape{70, 5, 1040}),
                       ::testing::Values(DType::kFloat32, DType::kBFloat16)));

TEST(EmbeddingTest, RefusesTokensOutsideTheTable) {
  if (testing::OnCuda())
    GTEST_SKIP() << "tokens are in device memory: the plan's Build refuses them";
  PoisonedMatrix table(DType::kFloat32, 4, 2);
  PoisonedMatrix out(DType::kFloat32, 1, 2);
  const std::vector<std::int32_t> token = {4};
  EXPECT_THROW(
      EmbeddingForward({}, {.token = token, .table_VD = table.view(), .out_TD = out.view()}),
      InternalError);
}

}  // namespace
}  // namespace sequela
