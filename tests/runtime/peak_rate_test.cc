// Theoretical peaks against the figures that NVIDIA prints for its GPUs.
#include "runtime/peak_rate.h"

#include <gtest/gtest.h>

#include <cmath>

namespace sequela {
namespace {

TEST(PeakRate, IsWhatDataSheetsSay) {
  // Multiprocessors and boost clock of each; TFLOP/s dense, of tensor cores and of fp32.
  const GpuProperties a100{8, 0, 108, 1.41e9};
  EXPECT_NEAR(PeakMatrixRate(a100, DType::kBFloat16), 312e12, 0.5e12);
  EXPECT_NEAR(PeakMatrixRate(a100, DType::kFloat32), 19.5e12, 0.1e12);
  const GpuProperties h100{9, 0, 132, 1.83e9};
  EXPECT_NEAR(PeakMatrixRate(h100, DType::kBFloat16), 989.4e12, 0.5e12);
  const GpuProperties b200{10, 0, 148, 1.85e9};
  EXPECT_NEAR(PeakMatrixRate(b200, DType::kBFloat16), 2.25e15, 0.01e15);
}

TEST(PeakRate, IsNoNumberWhereTheCapabilityDoesNotSayIt) {
  EXPECT_TRUE(std::isnan(PeakMatrixRate({8, 9, 128, 2.5e9}, DType::kBFloat16)));
  EXPECT_TRUE(std::isnan(PeakMatrixRate({7, 0, 80, 1.5e9}, DType::kFloat32)));
}

}  // namespace
}  // namespace sequela
