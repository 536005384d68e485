// ctest: labels=sanitize;threads cuda
#include "kernels/dropout.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <tuple>
#include <vector>

#include "tests/testing/poison.h"

namespace sequela {
namespace {

using reference::Matrix;
using testing::Layout;
using testing::PoisonedMatrix;
using testing::SharedVector;
using testing::Synchronize;
using testing::TestExec;

// Packed documents, each a sample with so many tokens.
struct Document {
  std::int64_t sample;
  std::int32_t tokens;
};

class DropoutTest : public ::testing::TestWithParam<std::tuple<std::int64_t, DType>> {
 protected:
  static constexpr double kRate = 0.25;

  // The mask of every token of the documents, as 1 / (1 - rate) or 0.
  PoisonedMatrix Mask(const std::vector<Document>& documents, std::uint64_t key, int threads = 1,
                      Layout layout = {}) {
    SharedVector<std::int64_t> sample;
    SharedVector<std::int32_t> begin = {0};
    SharedVector<std::int32_t> position;
    for (const Document& document : documents) {
      sample.push_back(document.sample);
      for (std::int32_t i = 0; i < document.tokens; ++i) position.push_back(i);
      begin.push_back(static_cast<std::int32_t>(position.size()));
    }
    Matrix<double> ones(begin.back(), channels_);
    ones.values.assign(ones.values.size(), 3.0);
    PoisonedMatrix x(type_, ones, layout);
    Dropout(TestExec(threads), {.x_TC = x.view(),
                                .out_TC = x.view(),
                                .sample = sample,
                                .document_begin = begin,
                                .position = position,
                                .key = key,
                                .rate = kRate});
    Synchronize();
    EXPECT_TRUE(x.PoisonIntact());
    return x;
  }

  std::int64_t channels_ = std::get<0>(GetParam());
  DType type_ = std::get<1>(GetParam());
  std::uint64_t key_ = DropoutKey(42, HashName("layers.3.mlp"), 17);
};

TEST_P(DropoutTest, TheMaskIsPhiloxOfSamplePositionAndChannel) {
  const std::int64_t far = (std::int64_t{5} << 40) + 3;
  const Matrix<double> mask = Mask({{far, 2}, {8, 0}, {9, 5}}, key_, 1, {3, 1}).values();
  for (std::int64_t t = 0; t < 7; ++t) {
    const std::int64_t sample = t < 2 ? far : 9;
    const auto position = static_cast<std::int32_t>(t < 2 ? t : t - 2);
    for (std::int64_t c = 0; c < channels_; ++c) {
      const auto block = DropoutBlock(key_, sample, position, static_cast<std::uint32_t>(c / 4));
      const bool kept = block[static_cast<std::size_t>(c % 4)] >= 0x40000000U;
      EXPECT_EQ(mask(t, c), kept ? 4.0 : 0.0) << t << " " << c;
    }
  }
}

TEST_P(DropoutTest, PackingDoesNotMatter) {
  const Matrix<double> alone = Mask({{7, 6}}, key_).values();
  const Matrix<double> packed = Mask({{3, 11}, {7, 6}, {1, 1}}, key_).values();
  for (std::int64_t t = 0; t < 6; ++t) {
    for (std::int64_t c = 0; c < channels_; ++c) EXPECT_EQ(packed(11 + t, c), alone(t, c));
  }
}

TEST_P(DropoutTest, TheNumberOfThreadsChangesNoBit) {
  const std::vector<Document> documents = {{1, 300}, {2, 0}, {3, 401}};
  const auto bytes = Mask(documents, key_).bytes();
  for (const int threads : {2, 3, 7}) EXPECT_EQ(Mask(documents, key_, threads).bytes(), bytes);
}

// The kept share of n elements lies within five standard errors, and masks of different keys,
// positions and channels agree as often as independent ones.
TEST_P(DropoutTest, MasksLookIndependent) {
  const std::vector<Document> documents = {{1, 400}};
  const Matrix<double> mask = Mask(documents, key_).values();
  const Matrix<double> other_step =
      Mask(documents, DropoutKey(42, HashName("layers.3.mlp"), 18)).values();
  const Matrix<double> other_site =
      Mask(documents, DropoutKey(42, HashName("layers.4.mlp"), 17)).values();
  const Matrix<double> other_sample = Mask({{2, 400}}, key_).values();
  const auto n = static_cast<double>(mask.values.size());
  const auto expect_share = [&](double count, double share) {
    EXPECT_NEAR(count / n, share, 5.0 * std::sqrt(share * (1.0 - share) / n));
  };
  const auto agreement = [&](const Matrix<double>& other, std::size_t shift) {
    double both = 0.0;
    for (std::size_t i = 0; i < mask.values.size(); ++i) {
      const std::size_t j = (i + shift) % other.values.size();
      both += mask.values[i] > 0.0 && other.values[j] > 0.0 ? 1.0 : 0.0;
    }
    return both;
  };
  expect_share(agreement(mask, 0), 1.0 - kRate);
  const double both = (1.0 - kRate) * (1.0 - kRate);
  expect_share(agreement(mask, 1), both);
  expect_share(agreement(mask, static_cast<std::size_t>(channels_)), both);
  expect_share(agreement(other_step, 0), both);
  expect_share(agreement(other_site, 0), both);
  expect_share(agreement(other_sample, 0), both);
}

INSTANTIATE_TEST_SUITE_P(Channels, DropoutTest,
                         ::testing::Combine(::testing::Values(1, 6, 64, 131),
                                            ::testing::Values(DType::kFloat32, DType::kBFloat16)));

}  // namespace
}  // namespace sequela
