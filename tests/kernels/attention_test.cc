// ctest: cost=60 labels=sanitize;threads timeout=300 cuda hopper
#include "kernels/attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <ostream>
#include <string>
#include <vector>

#include "tests/reference/attention.h"
#include "tests/testing/gradcheck.h"
#include "tests/testing/poison.h"
#include "tests/testing/test_backend.h"
#include "tests/testing/tolerance.h"

#if defined(SEQUELA_WITH_CUDA)
#include "kernels/cuda/attention.h"
#endif

namespace sequela {
namespace {

using reference::AttentionGradients;
using reference::AttentionInput;
using reference::AttentionOutput;
using reference::AttentionRules;
using reference::Matrix;
using testing::Layout;
using testing::PoisonedMatrix;
using testing::PoisonedWorkspace;
using testing::RandomMatrix;
using testing::Rounded;
using testing::WithinTheRule;

Matrix<double> Columns(const Matrix<double>& m, std::int64_t begin, std::int64_t count) {
  Matrix<double> part(m.rows, count);
  for (std::int64_t r = 0; r < m.rows; ++r) {
    for (std::int64_t c = 0; c < count; ++c) part(r, c) = m(r, begin + c);
  }
  return part;
}

struct Results {
  PoisonedMatrix out, lse, dqkv;
  bool BitwiseEqual(Results& other) {
    return out.bytes() == other.out.bytes() && lse.bytes() == other.lse.bytes() &&
           dqkv.bytes() == other.dqkv.bytes();
  }
};

// How rows lie: at odd offsets with odd gaps, or at multiples of 16 bytes, as CUDA's tensor-core
// kernels want them.
enum class Placement { kOdd, kAligned };

// Forward and backward on one packed qkv buffer, at an offset and with a gap between rows.
class Attention {
 public:
  Attention(AttentionShape shape, DType type, AttentionPlan plan, const Matrix<double>& qkv,
            const Matrix<double>& dout, Placement placement = Placement::kOdd)
      : shape_(shape),
        type_(type),
        placement_(placement),
        plan_(std::move(plan)),
        qkv_(type, qkv, Place({.gap = 5, .offset = 3})),
        dout_(type, dout, Place({.gap = 1, .offset = 1})),
        image_(static_cast<std::size_t>(testing::OnCuda() ? plan_.ImageBytes() : 0)) {
    if (testing::OnCuda()) plan_.WriteImage(image_);
  }

  void Drop(AttentionDropout dropout) { dropout_ = dropout; }

  Results Run(int threads) {
    const std::int64_t tokens = plan_.num_tokens();
    Results r{
        PoisonedMatrix(type_, tokens, queries(), Place({.gap = 3, .offset = 1})),
        PoisonedMatrix(DType::kFloat32, tokens, shape_.num_query_heads, {.gap = 2}),
        PoisonedMatrix(type_, tokens, queries() + 2 * keys(), Place({.gap = 7, .offset = 5}))};
    Exec exec = testing::TestExec(threads);
    PoisonedWorkspace forward(AttentionForwardWorkspaceBytes(exec, shape_));
    exec.workspace = forward.span();
    Forward(exec, r);
    PoisonedWorkspace backward(
        AttentionBackwardWorkspaceBytes(exec, shape_, tokens, plan_.longest_document()));
    exec.workspace = backward.span();
    Backward(exec, r);
    testing::Synchronize();
    return r;
  }

  // Everything against the textbook in fp64, by the rule.
  void ExpectCorrect(Results& r, std::vector<Matrix<double>> keep = {}) {
    AttentionRules rules = Rules();
    rules.keep = std::move(keep);
    const Truth truth = Textbook(rules);
    EXPECT_TRUE(WithinTheRule(r.out.values(), Rounded(truth.honest.out, type_), truth.exact.out))
        << "out";
    EXPECT_TRUE(WithinTheRule(Finite(r.lse.values()), Finite(truth.honest.lse.As<double>()),
                              Finite(truth.exact.lse)))
        << "lse";
    const AttentionInput<double> ours = Split(r.dqkv.values());
    EXPECT_TRUE(WithinTheRule(ours.q, Rounded(truth.honest_g.dq, type_), truth.exact_g.dq)) << "dq";
    EXPECT_TRUE(WithinTheRule(ours.k, Rounded(truth.honest_g.dk, type_), truth.exact_g.dk)) << "dk";
    EXPECT_TRUE(WithinTheRule(ours.v, Rounded(truth.honest_g.dv, type_), truth.exact_g.dv)) << "dv";
    EXPECT_TRUE(r.out.PoisonIntact() && r.lse.PoisonIntact() && r.dqkv.PoisonIntact());
  }

  // The rule's maximum compares two largest errors. Where few enormous terms make up a result, both
  // are one unlucky rounding each, so that more room is needed: a score s is rounded by 2^-24 |s|,
  // the relative error of its probability.
  void ExpectWithinRoundingOfScores(Results& r) {
    const Truth truth = Textbook(Rules());
    const double unit = 16 * 0x1p-24 * Largest(Finite(truth.exact.lse));
    const AttentionInput<double> ours = Split(r.dqkv.values());
    const auto near = [&](const Matrix<double>& actual, const Matrix<float>& honest,
                          const Matrix<double>& exact) {
      return testing::ErrorsOf(actual, exact).max <=
             4 * testing::ErrorsOf(Rounded(honest, type_), exact).max + unit * Largest(exact);
    };
    EXPECT_TRUE(near(r.out.values(), truth.honest.out, truth.exact.out)) << "out";
    EXPECT_TRUE(near(ours.q, truth.honest_g.dq, truth.exact_g.dq)) << "dq";
    EXPECT_TRUE(near(ours.k, truth.honest_g.dk, truth.exact_g.dk)) << "dk";
    EXPECT_TRUE(near(ours.v, truth.honest_g.dv, truth.exact_g.dv)) << "dv";
  }

 private:
  void Forward(const Exec& exec, Results& r) {
    const AttentionForwardArgs args = {.q_TNH = Q(qkv_),
                                       .k_TGH = K(qkv_),
                                       .v_TGH = V(qkv_),
                                       .out_TNH = r.out.view(),
                                       .lse_TN = r.lse.view(),
                                       .plan = &plan_,
                                       .plan_image = image_.data(),
                                       .shape = shape_,
                                       .softmax_scale = scale(),
                                       .dropout = dropout_};
    ExpectFamily(args);
    AttentionForward(exec, args);
  }
  void Backward(const Exec& exec, Results& r) {
    const AttentionBackwardArgs args = {.q_TNH = Q(qkv_),
                                        .k_TGH = K(qkv_),
                                        .v_TGH = V(qkv_),
                                        .out_TNH = r.out.view(),
                                        .lse_TN = r.lse.view(),
                                        .dout_TNH = dout_.view(),
                                        .dq_TNH = Q(r.dqkv),
                                        .dk_TGH = K(r.dqkv),
                                        .dv_TGH = V(r.dqkv),
                                        .plan = &plan_,
                                        .plan_image = image_.data(),
                                        .shape = shape_,
                                        .softmax_scale = scale(),
                                        .dropout = dropout_};
    ExpectFamily(args);
    AttentionBackward(exec, args);
  }

  Layout Place(Layout odd) const {
    const std::int64_t unit = 16 / SizeOf(type_);
    return placement_ == Placement::kOdd
               ? odd
               : Layout{.gap = odd.gap * unit, .offset = odd.offset * unit};
  }
  bool OnTensorCores() const {
    return testing::OnCuda() && type_ == DType::kBFloat16 && placement_ == Placement::kAligned &&
           (shape_.head_size == 64 || shape_.head_size == 128) && dropout_.probability == 0.0F;
  }
  // The family of kernels that a case is meant for is the one that runs.
  template <typename Args>
  void ExpectFamily(const Args& args) const {
#if defined(SEQUELA_WITH_CUDA)
    EXPECT_TRUE(!testing::OnCuda() || cuda::AttentionUsesTensorCores(args) == OnTensorCores());
#else
    (void)args;
#endif
  }

  std::int64_t queries() const { return shape_.num_query_heads * shape_.head_size; }
  std::int64_t keys() const { return shape_.num_key_heads * shape_.head_size; }
  float scale() const { return 1.0F / std::sqrt(static_cast<float>(shape_.head_size)); }
  TensorView Q(PoisonedMatrix& m) const { return m.view().ColumnRange(0, queries()); }
  TensorView K(PoisonedMatrix& m) const { return m.view().ColumnRange(queries(), keys()); }
  TensorView V(PoisonedMatrix& m) const { return m.view().ColumnRange(queries() + keys(), keys()); }
  AttentionInput<double> Split(const Matrix<double>& m) const {
    return {Columns(m, 0, queries()), Columns(m, queries(), keys()),
            Columns(m, queries() + keys(), keys())};
  }
  // The textbook in fp64, and plainly in fp32 with what is stored rounded.
  struct Truth {
    AttentionOutput<double> exact;
    AttentionOutput<float> honest;
    AttentionGradients<double> exact_g;
    AttentionGradients<float> honest_g;
  };
  Truth Textbook(const AttentionRules& rules) {
    const AttentionInput<double> in = Split(qkv_.values());
    const Matrix<double> dout = dout_.values();
    Truth t;
    t.exact = reference::Attention(rules, in);
    t.exact_g = reference::AttentionBackward(rules, in, t.exact, dout);
    AttentionRules honest = rules;
    honest.round_weights = OnTensorCores();
    t.honest = reference::Attention(honest, in.As<float>());
    t.honest_g = reference::AttentionBackward(
        honest, in.As<float>(), {Rounded(t.honest.out, type_).As<float>(), t.honest.lse},
        dout.As<float>());
    return t;
  }
  AttentionRules Rules() const {
    return {.query_heads = shape_.num_query_heads,
            .key_heads = shape_.num_key_heads,
            .scale = scale(),
            .kv_begin = {plan_.kv_begin().begin(), plan_.kv_begin().end()},
            .kv_end = {plan_.kv_end().begin(), plan_.kv_end().end()},
            .keep = {}};
  }
  static double Largest(const Matrix<double>& m) {
    return testing::ErrorsOf(m, Matrix<double>(m.rows, m.columns)).max;
  }
  // -inf, the sum of nothing, becomes a number that both sides must have.
  static Matrix<double> Finite(Matrix<double> lse) {
    for (double& value : lse.values) value = value == -HUGE_VAL ? 0.0 : value;
    return lse;
  }

  AttentionShape shape_;
  DType type_;
  Placement placement_;
  AttentionPlan plan_;
  PoisonedMatrix qkv_, dout_;
  testing::SharedVector<std::byte> image_;
  AttentionDropout dropout_;
};

using Offsets = std::vector<std::int32_t>;

Offsets FromLengths(const std::vector<std::int32_t>& lengths) {
  Offsets offsets = {0};
  for (const std::int32_t length : lengths) offsets.push_back(offsets.back() + length);
  return offsets;
}

std::int64_t Width(const AttentionShape& s) {
  return (s.num_query_heads + 2 * s.num_key_heads) * s.head_size;
}

struct Case {
  std::string name;
  AttentionShape shape;
  DType type;
  Placement placement = Placement::kOdd;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

// RandomMatrix with outliers in q, k, v and dout makes single scores and terms outweigh all others.
Attention AttentionWithOutliers(const Case& c, AttentionPlan plan, double scale) {
  const std::int64_t tokens = plan.num_tokens();
  return {c.shape,
          c.type,
          std::move(plan),
          RandomMatrix(tokens, Width(c.shape), 1, scale),
          RandomMatrix(tokens, c.shape.num_query_heads * c.shape.head_size, 2),
          c.placement};
}

Matrix<double> NormalMatrix(std::int64_t rows, std::int64_t columns, std::uint64_t seed) {
  Matrix<double> matrix(rows, columns);
  PhiloxStream stream(seed, HashName("normal matrix"), 0);
  for (double& value : matrix.values) value = stream.NextNormal();
  return matrix;
}

Attention RandomAttention(const Case& c, AttentionPlan plan) {
  const std::int64_t tokens = plan.num_tokens();
  return {c.shape,
          c.type,
          std::move(plan),
          NormalMatrix(tokens, Width(c.shape), 1),
          NormalMatrix(tokens, c.shape.num_query_heads * c.shape.head_size, 2),
          c.placement};
}

class AttentionTest : public ::testing::TestWithParam<Case> {};

// Around the edges of tiles, panels and work items of the CPU and of CUDA's families; documents of
// 0 and 1 tokens. An interpreter gets fewer long documents.
AttentionPlan PlanAroundEdges(const Case& c) {
  if (c.placement == Placement::kAligned) {
#if defined(SEQUELA_SANITIZED)  // without CUDA, and slow: no tiles of 128 rows to be met
    return AttentionPlan::Causal(FromLengths({1, 0, 63, 64, 2, 65}));
#else
    return AttentionPlan::Causal(FromLengths({1, 0, 63, 64, 2, 65, 127, 128, 129}));
#endif
  }
  if (testing::OnPtx()) return AttentionPlan::Causal(FromLengths({1, 0, 31, 33, 65}));
  return AttentionPlan::Causal(FromLengths({1, 0, 47, 97, 129, 2, 257, 390}));
}

TEST_P(AttentionTest, ErrorsAreWithinTheRule) {
  Attention attention = RandomAttention(GetParam(), PlanAroundEdges(GetParam()));
  Results r = attention.Run(2);
  attention.ExpectCorrect(r);
}

// Scores up to several hundred: rows that see one key only in effect.
TEST_P(AttentionTest, LargeScoresCostNoMoreThanTheirRounding) {
  const Offsets offsets = FromLengths(testing::OnPtx() ? Offsets{5, 66} : Offsets{70, 150});
  Attention attention = AttentionWithOutliers(GetParam(), AttentionPlan::Causal(offsets), 3.0);
  Results r = attention.Run(1);
  attention.ExpectWithinRoundingOfScores(r);
}

TEST_P(AttentionTest, NeitherThreadsNorRepeatsChangeABit) {
  const Offsets offsets =
      FromLengths(testing::OnPtx() ? Offsets{5, 66, 1} : Offsets{5, 200, 1, 90});
  Attention attention = RandomAttention(GetParam(), AttentionPlan::Causal(offsets));
  Results one = attention.Run(1);
  for (int threads = 1; threads <= (testing::OnPtx() ? 1 : 3); ++threads) {
    Results again = attention.Run(threads);
    EXPECT_TRUE(one.BitwiseEqual(again)) << threads << " threads";
  }
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, AttentionTest,
    ::testing::Values(Case{"Heads64", {2, 2, 64}, DType::kFloat32},
                      Case{"Heads64Bf16", {2, 2, 64}, DType::kBFloat16},
                      Case{"Grouped", {6, 2, 16}, DType::kFloat32},
                      Case{"OneKeyHead", {3, 1, 40}, DType::kBFloat16},
                      Case{"OneKeyHeadFp32", {3, 1, 40}, DType::kFloat32},
                      Case{"Smallest", {1, 1, 8}, DType::kFloat32},
                      Case{"Heads128", {1, 1, 128}, DType::kFloat32},
                      Case{"Largest", {1, 1, 256}, DType::kBFloat16},
                      Case{"LargestFp32", {1, 1, 256}, DType::kFloat32},
                      Case{"Aligned64", {2, 2, 64}, DType::kBFloat16, Placement::kAligned},
                      Case{"Aligned64By8", {8, 1, 64}, DType::kBFloat16, Placement::kAligned},
                      Case{"Aligned128", {2, 2, 128}, DType::kBFloat16, Placement::kAligned},
                      Case{"Aligned128By3", {3, 1, 128}, DType::kBFloat16, Placement::kAligned}),
    [](const auto& one) { return one.param.name; });

// The same for the families of kernels that CUDA chooses from.
class AttentionFamilyTest : public ::testing::TestWithParam<Case> {};

// Windows, groups that see no later than their first member, and rows that see nothing.
TEST_P(AttentionFamilyTest, AnyMonotoneIntervalsAreHonoured) {
  const Offsets offsets = FromLengths({3, 310, 40});
  std::vector<std::int32_t> begin(353), end(353);
  for (std::int32_t row = 0; row < 353; ++row) {
    const std::int32_t document = row < 3 ? 0 : row < 313 ? 3 : 313;
    const auto i = static_cast<std::size_t>(row);
    end[i] = std::max(document, document + (row - document) / 7 * 7);  // empty for the first seven
    begin[i] = std::min(end[i], std::max(document, row - 90));
  }
  // A stretch of rows in the middle that see nothing, wider than a group of rows.
  for (std::size_t i = 150; i < 190; ++i) begin[i] = end[i] = end[150];
  for (std::size_t i = 190; i < 313; ++i) begin[i] = std::max(begin[i], end[150]);
  Attention attention =
      RandomAttention(GetParam(), AttentionPlan::FromIntervals(offsets, begin, end));
  Results r = attention.Run(2);
  attention.ExpectCorrect(r);
  EXPECT_EQ(r.out.values()(4, 0), 0.0);
  EXPECT_EQ(r.lse.values()(160, 1), -HUGE_VAL);
  EXPECT_EQ(r.dqkv.values()(160, 3), 0.0);
}

TEST_P(AttentionFamilyTest, ADocumentDoesNotDependOnTheRestOfTheBatch) {
  const AttentionShape shape = GetParam().shape;
  const std::int64_t queries = shape.num_query_heads * shape.head_size;
  const std::int32_t rows = testing::OnPtx() && GetParam().placement == Placement::kOdd ? 70 : 170;
  const Matrix<double> mine = RandomMatrix(rows, Width(shape), 3);
  const Matrix<double> my_dout = RandomMatrix(rows, queries, 4);
  // The document after `before` rows of others and before 33 more; which rows are its own in `r`.
  const auto run = [&](std::int32_t before, double others) {
    Matrix<double> qkv = RandomMatrix(before + rows + 33, Width(shape), 5, others);
    Matrix<double> dout = RandomMatrix(before + rows + 33, queries, 6, others);
    std::ranges::copy(mine.values, qkv.values.begin() + before * qkv.columns);
    std::ranges::copy(my_dout.values, dout.values.begin() + before * dout.columns);
    Attention attention(shape, GetParam().type,
                        AttentionPlan::Causal(FromLengths({before, rows, 33})), qkv, dout,
                        GetParam().placement);
    Results r = attention.Run(2);
    std::vector<double> numbers;
    for (const Matrix<double>& m : {r.out.values(), r.lse.values(), r.dqkv.values()}) {
      numbers.insert(numbers.end(), m.values.begin() + before * m.columns,
                     m.values.begin() + (before + rows) * m.columns);
    }
    return numbers;
  };
  const std::vector<double> alone = run(0, 1.0);
  EXPECT_EQ(run(0, 3.0), alone);
  EXPECT_EQ(run(41, 1.0), alone);
  EXPECT_EQ(run(41, std::nan("")), alone);
}

INSTANTIATE_TEST_SUITE_P(
    Families, AttentionFamilyTest,
    ::testing::Values(Case{"Plain", {4, 2, 16}, DType::kFloat32},
                      Case{"Aligned64", {2, 1, 64}, DType::kBFloat16, Placement::kAligned},
                      Case{"Aligned128", {2, 1, 128}, DType::kBFloat16, Placement::kAligned}),
    [](const auto& one) { return one.param.name; });

// The values of a document are the unit matrix: out is the matrix of probabilities.
class AttentionDropoutTest : public ::testing::Test {
 protected:
  static constexpr std::int64_t kRows = 64;
  static constexpr AttentionShape kShape = {2, 1, 64};

  Attention Document(std::int64_t before) {
    const std::int64_t tokens = before + kRows;
    Matrix<double> qkv(tokens, Width(kShape));
    const Matrix<double> random = RandomMatrix(kRows, Width(kShape), 7, 0.5);
    for (std::int64_t r = 0; r < kRows; ++r) {
      for (std::int64_t c = 0; c < qkv.columns; ++c) qkv(before + r, c) = random(r, c);
      for (std::int64_t h = 0; h < 64; ++h) qkv(before + r, 192 + h) = r == h ? 1.0 : 0.0;
    }
    const std::vector<std::int64_t> ids = {9, 1234};
    return {kShape, DType::kFloat32,
            AttentionPlan::Causal(
                FromLengths({static_cast<std::int32_t>(before), static_cast<std::int32_t>(kRows)}),
                ids),
            qkv, RandomMatrix(tokens, 128, 8)};
  }
  // Factors by head, [row][key].
  std::vector<Matrix<double>> KeptBy(AttentionDropout dropout, std::int64_t before = 0) {
    Attention attention = Document(before);
    Results plain = attention.Run(1);
    attention.Drop(dropout);
    Results dropped = attention.Run(1);
    const Matrix<double> all = plain.out.values(), rest = dropped.out.values();
    std::vector<Matrix<double>> keep(2, Matrix<double>(kRows, kRows));
    for (std::int64_t head = 0; head < 2; ++head) {
      for (std::int64_t row = 0; row < kRows; ++row) {
        for (std::int64_t key = 0; key <= row; ++key) {
          const double ratio =
              rest(before + row, head * 64 + key) / all(before + row, head * 64 + key);
          keep[static_cast<std::size_t>(head)](row, key) = std::round(ratio * 1e4) / 1e4;
        }
      }
    }
    return keep;
  }
};

TEST_F(AttentionDropoutTest, ForwardAndBackwardDropTheSame) {
  const AttentionDropout dropout = {.probability = 0.2F, .seed = 3, .stream = 5};
  std::vector<Matrix<double>> keep = KeptBy(dropout);
  double kept = 0.0;
  for (const auto& head : keep) {
    for (const double factor : head.values) {
      EXPECT_TRUE(factor == 0.0 || factor == 1.25) << factor;
      kept += factor > 0.0 ? 1.0 : 0.0;
    }
  }
  EXPECT_NEAR(kept / (kRows * (kRows + 1.0)), 0.8, 0.025);  // four standard errors
  EXPECT_NE(keep[0].values, keep[1].values);
  Attention attention = Document(0);
  attention.Drop(dropout);
  Results r = attention.Run(2);
  attention.ExpectCorrect(r, keep);
}

TEST_F(AttentionDropoutTest, DependsOnTheDocumentNotOnItsPlace) {
  const auto keep = KeptBy({.probability = 0.2F, .seed = 3, .stream = 5});
  EXPECT_EQ(KeptBy({.probability = 0.2F, .seed = 3, .stream = 5}, 37)[1].values, keep[1].values);
  EXPECT_NE(KeptBy({.probability = 0.2F, .seed = 3, .stream = 6})[1].values, keep[1].values);
  EXPECT_NE(KeptBy({.probability = 0.2F, .seed = 4, .stream = 5})[1].values, keep[1].values);
}

TEST(AttentionReferenceTest, BackwardIsTheDerivativeOfForward) {
  const AttentionRules rules{.query_heads = 2,
                             .key_heads = 1,
                             .scale = 0.4,
                             .kv_begin = {0, 0, 0, 1, 4},
                             .kv_end = {1, 2, 2, 4, 4}};
  const Matrix<double> dout = RandomMatrix(5, 6, 1);
  const auto split = [](const std::vector<double>& x) {
    Matrix<double> all(5, 12);
    all.values = x;
    return AttentionInput<double>{Columns(all, 0, 6), Columns(all, 6, 3), Columns(all, 9, 3)};
  };
  const auto loss = [&](const std::vector<double>& x) {
    const auto out = reference::Attention(rules, split(x)).out;
    double sum = 0.0;
    for (std::size_t i = 0; i < out.values.size(); ++i) sum += out.values[i] * dout.values[i];
    return sum;
  };
  const std::vector<double> x = RandomMatrix(5, 12, 2, 0.3).values;
  const auto in = split(x);
  const auto g = reference::AttentionBackward(rules, in, reference::Attention(rules, in), dout);
  std::vector<double> gradient;
  for (std::int64_t r = 0; r < 5; ++r) {
    for (std::int64_t c = 0; c < 6; ++c) gradient.push_back(g.dq(r, c));
    for (std::int64_t c = 0; c < 3; ++c) gradient.push_back(g.dk(r, c));
    for (std::int64_t c = 0; c < 3; ++c) gradient.push_back(g.dv(r, c));
  }
  EXPECT_TRUE(testing::IsGradientOf(loss, x, gradient));
}

}  // namespace
}  // namespace sequela
