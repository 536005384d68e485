// ctest: labels=sanitize;threads cuda
#include "kernels/time_rope.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include "tests/testing/poison.h"
#include "tests/testing/tolerance.h"

namespace sequela {
namespace {

using reference::Matrix;
using testing::Layout;
using testing::PoisonedMatrix;
using testing::RandomMatrix;
using testing::Rounded;
using testing::Synchronize;
using testing::TestExec;
using testing::WithinTheRule;

constexpr long double kTurn = 2.0L * std::numbers::pi_v<long double>;
constexpr std::int64_t kSecond = 1'000'000;
constexpr std::int64_t kYear = 31'557'600 * kSecond;

class TimeRopeTableTest : public ::testing::Test {
 protected:
  void Document(const std::vector<std::int64_t>& times_us) {
    for (std::size_t i = 0; i < times_us.size(); ++i) {
      position_.push_back(static_cast<std::int32_t>(i));
      time_us_.push_back(times_us[i]);
    }
    document_begin_.push_back(static_cast<std::int32_t>(position_.size()));
  }
  void Build(int threads = 1) {
    const auto tokens = static_cast<std::int64_t>(position_.size());
    cos_ = PoisonedMatrix(DType::kFloat32, tokens, settings_.head_dim / 2);
    sin_ = PoisonedMatrix(DType::kFloat32, tokens, settings_.head_dim / 2);
    BuildTimeRopeTable({.num_threads = threads}, settings_,
                       {.position = position_,
                        .time_us = time_us_,
                        .document_begin = document_begin_,
                        .cos_TP = cos_.view(),
                        .sin_TP = sin_.view()});
  }
  void ExpectAngle(std::int64_t token, std::int64_t pair, long double angle) {
    EXPECT_NEAR(cos_.values()(token, pair), std::cos(angle), 2e-7) << token << " " << pair;
    EXPECT_NEAR(sin_.values()(token, pair), std::sin(angle), 2e-7) << token << " " << pair;
  }

  TimeRopeSettings settings_{.head_dim = 64};
  std::vector<std::int32_t> position_;
  std::vector<std::int64_t> time_us_;
  std::vector<std::int32_t> document_begin_{0};
  PoisonedMatrix cos_{DType::kFloat32, 0, 0};
  PoisonedMatrix sin_{DType::kFloat32, 0, 0};
};

TEST_F(TimeRopeTableTest, IndexAnglesAreThoseOfTheFormula) {
  settings_ = {.head_dim = 26, .theta = 500000.0};
  position_ = {0, 1, 17, 4095, 131071};
  document_begin_ = {};
  Build();
  for (std::size_t t = 0; t < position_.size(); ++t) {
    for (std::int64_t i = 0; i < 13; ++i) {
      const long double frequency =
          std::pow(500000.0L, -2.0L * static_cast<long double>(i) / 26.0L);
      ExpectAngle(static_cast<std::int64_t>(t), i, position_[t] * frequency);
    }
  }
  EXPECT_TRUE(cos_.PoisonIntact() && sin_.PoisonIntact());
}

TEST_F(TimeRopeTableTest, TheLastPairsTurnWithRealTimeSinceTheDocumentsFirst) {
  settings_ = {.head_dim = 16, .num_time_pairs = 3};
  Document({1'600'000'000 * kSecond, 1'600'000'090 * kSecond});
  Document({});
  Document({-40 * kYear, -40 * kYear + 1, 50 * kYear + 7});
  Build();
  const long double periods_us[] = {60e6L, std::sqrt(60.0L * 200.0L * 31557600.0L) * 1e6L,
                                    200.0L * 31557600e6L};
  const std::int64_t elapsed_us[] = {0, 90 * kSecond, 0, 1, 90 * kYear + 7};
  for (std::int64_t t = 0; t < 5; ++t) {
    for (std::int64_t i = 0; i < 5; ++i) {
      const long double frequency = std::pow(10000.0L, -2.0L * static_cast<long double>(i) / 16.0L);
      ExpectAngle(t, i, position_[static_cast<std::size_t>(t)] * frequency);
    }
    for (std::int64_t j = 0; j < 3; ++j) {
      const long double turns = elapsed_us[t] / periods_us[j];
      ExpectAngle(t, 5 + j, kTurn * (turns - std::round(turns)));
    }
  }
}

TEST_F(TimeRopeTableTest, SecondsAreStillToldApartAfterNinetyYears) {
  settings_ = {.head_dim = 8, .num_time_pairs = 4};
  Document({0, 90 * kYear, 90 * kYear + 15 * kSecond});
  Build();
  // A quarter of the shortest period (60 s) later; 90 years are a whole number of minutes.
  EXPECT_NEAR(sin_.values()(1, 0), 0.0, 1e-6);
  EXPECT_NEAR(sin_.values()(2, 0), 1.0, 1e-6);
}

TEST_F(TimeRopeTableTest, TheNumberOfThreadsChangesNoBit) {
  settings_ = {.head_dim = 32, .num_time_pairs = 7};
  std::vector<std::int64_t> times(700);
  for (std::size_t i = 0; i < times.size(); ++i) {
    times[i] = static_cast<std::int64_t>(i * i) * 977 * kSecond;
  }
  Document(times);
  Build(1);
  const auto cosines = cos_.bytes();
  const auto sines = sin_.bytes();
  Build(5);
  EXPECT_EQ(cos_.bytes(), cosines);
  EXPECT_EQ(sin_.bytes(), sines);
}

TEST_F(TimeRopeTableTest, ATokenWithoutATimeIsRefused) {
  settings_ = {.head_dim = 8, .num_time_pairs = 1};
  Document({0, std::numeric_limits<std::int64_t>::min()});
  EXPECT_THROW(Build(), InternalError);
}

TEST(TimePairsTest, TakesTheNearestShareOfThePairs) {
  EXPECT_EQ(TimePairs(64, 0.0), 0);
  EXPECT_EQ(TimePairs(64, 1.0), 32);
  EXPECT_EQ(TimePairs(64, 0.5), 16);
  EXPECT_EQ(TimePairs(6, 0.5), 2);
}

struct Shape {
  std::int64_t rows;
  std::int64_t heads;
  std::int64_t pairs;
  Layout layout;
};

class TimeRopeTest : public ::testing::TestWithParam<std::tuple<Shape, DType>> {
 protected:
  TimeRopeTest() {
    for (std::int64_t r = 0; r < shape_.rows; ++r) {
      for (std::int64_t i = 0; i < shape_.pairs; ++i) {
        const double angle = static_cast<double>(r) * std::pow(100.0, -static_cast<double>(i));
        cos_(r, i) = static_cast<float>(std::cos(angle));
        sin_(r, i) = static_cast<float>(std::sin(angle));
      }
    }
  }
  PoisonedMatrix Rotate(bool forward, const Matrix<double>& x, int threads) {
    PoisonedMatrix turned(type_, x, shape_.layout);
    PoisonedMatrix cosines(DType::kFloat32, cos_);
    PoisonedMatrix sines(DType::kFloat32, sin_);
    const TimeRopeArgs args{
        .x_TNH = turned.view(), .cos_TP = cosines.view(), .sin_TP = sines.view()};
    forward ? TimeRopeForward(TestExec(threads), args) : TimeRopeBackward(TestExec(threads), args);
    Synchronize();
    return turned;
  }
  // Complex multiplication of the pairs (i, i + H/2).
  template <typename Real>
  Matrix<Real> Reference(const Matrix<double>& x, double direction) const {
    Matrix<Real> turned(x.rows, x.columns);
    for (std::int64_t r = 0; r < x.rows; ++r) {
      for (std::int64_t c = 0; c < x.columns; ++c) {
        const std::int64_t in_head = c % (2 * shape_.pairs);
        const std::int64_t pair = in_head % shape_.pairs;
        const bool first = in_head < shape_.pairs;
        const auto other = static_cast<Real>(x(r, first ? c + shape_.pairs : c - shape_.pairs));
        const auto c_real = static_cast<Real>(cos_(r, pair));
        const auto s_real = static_cast<Real>(direction * sin_(r, pair));
        turned(r, c) = static_cast<Real>(x(r, c)) * c_real + (first ? -other : other) * s_real;
      }
    }
    return turned;
  }

  Shape shape_ = std::get<0>(GetParam());
  DType type_ = std::get<1>(GetParam());
  Matrix<double> cos_{shape_.rows, shape_.pairs};
  Matrix<double> sin_{shape_.rows, shape_.pairs};
  Matrix<double> x_ =
      PoisonedMatrix(type_, RandomMatrix(shape_.rows, shape_.heads * 2 * shape_.pairs, 1)).values();
};

TEST_P(TimeRopeTest, ErrorsAreWithinTheRule) {
  for (const bool forward : {true, false}) {
    const double direction = forward ? 1.0 : -1.0;
    PoisonedMatrix turned = Rotate(forward, x_, 2);
    EXPECT_TRUE(WithinTheRule(turned.values(), Rounded(Reference<float>(x_, direction), type_),
                              Reference<double>(x_, direction)));
    EXPECT_TRUE(turned.PoisonIntact());
  }
}

TEST_P(TimeRopeTest, BackwardTurnsBack) {
  const Matrix<double> turned = Rotate(true, x_, 1).values();
  const Matrix<double> back = Rotate(false, turned, 1).values();
  const double tolerance = type_ == DType::kBFloat16 ? 0.6 : 2e-5;  // of values up to 60
  for (std::size_t i = 0; i < x_.values.size(); ++i) {
    EXPECT_NEAR(back.values[i], x_.values[i], tolerance);
  }
}

TEST_P(TimeRopeTest, TheNumberOfThreadsChangesNoBit) {
  const auto bytes = Rotate(true, x_, 1).bytes();
  for (const int threads : {2, 3, 7}) EXPECT_EQ(Rotate(true, x_, threads).bytes(), bytes);
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, TimeRopeTest,
    ::testing::Combine(::testing::Values(Shape{1, 1, 1, {}}, Shape{5, 3, 13, {7, 3}},
                                         Shape{0, 2, 32, {}},
                                         Shape{testing::OnPtx() ? 20 : 150, 12, 32, {768, 1}},
                                         // Heads that no power of two of threads fits, the sizes
                                         // of heads in use, and the largest.
                                         Shape{9, 5, 32, {8, 0}}, Shape{3, 9, 64, {}},
                                         Shape{5, 2, 16, {0, 2}}, Shape{2, 1, 512, {}},
                                         Shape{2, 2, 511, {}}),
                       ::testing::Values(DType::kFloat32, DType::kBFloat16)));

}  // namespace
}  // namespace sequela
