// ctest: labels=sanitize
// What CrossEntropy asks of a device, without one: launches and products are counted, nothing is
// computed, and every argument "on the device" lies in memory that the host may not touch.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cross_entropy.h"

#if defined(SEQUELA_WITH_CUDA)
#include <sys/mman.h>

#include "kernels/cuda/launch_interface.h"

namespace sequela {
namespace {

std::map<std::string, int> launches;
std::vector<GemmArgs> products;

class CrossEntropyLaunchesTest : public ::testing::TestWithParam<DType> {
 protected:
  static constexpr std::int64_t kHidden = 64;

  CrossEntropyLaunchesTest() {
    launches.clear();
    products.clear();
    cuda::TEST_SetLaunchInterface(
        {.launch = [](const cuda::KernelLaunch& l) { ++launches[l.name]; },
         .gemm = [](const Exec&, const GemmArgs& a) { products.push_back(a); }});
  }
  ~CrossEntropyLaunchesTest() override {
    cuda::TEST_SetLaunchInterface(before_);
    for (const auto& [begin, bytes] : mapped_) munmap(begin, bytes);
  }

  // Addresses of which every use by the host is a crash.
  void* Forbidden(std::int64_t bytes) {
    const auto size = static_cast<std::size_t>(std::max<std::int64_t>(bytes, 1));
    void* begin =
        mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    EXPECT_NE(begin, MAP_FAILED);
    mapped_.emplace_back(begin, size);
    return begin;
  }
  template <typename T>
  std::span<T> ForbiddenSpan(std::int64_t count) {
    return {static_cast<T*>(Forbidden(count * 4)), static_cast<std::size_t>(count)};
  }
  TensorView ForbiddenMatrix(DType dtype, std::int64_t rows, std::int64_t columns) {
    return {Forbidden(rows * columns * SizeOf(dtype)), dtype, rows, columns};
  }

  // Every token but each fifth has a target, or every one.
  void Train(std::int64_t tokens, std::int64_t vocabulary, bool all_have_targets = false) {
    std::vector<std::int32_t> target(static_cast<std::size_t>(tokens), 1);
    for (std::size_t t = 0; t < target.size() && !all_have_targets; t += 5) target[t] = kNoTarget;
    CrossEntropyPlan plan;
    plan.Build(target, vocabulary);
    Exec exec{.backend = Backend::kCuda};
    const std::int64_t bytes = CrossEntropyWorkspaceBytes(exec, vocabulary, kHidden, GetParam());
    EXPECT_LE(bytes, 300'000'000);
    exec.workspace = {static_cast<std::byte*>(Forbidden(bytes)), static_cast<std::size_t>(bytes)};
    CrossEntropy(exec, {.hidden_TD = ForbiddenMatrix(GetParam(), tokens, kHidden),
                        .weight_VD = ForbiddenMatrix(GetParam(), vocabulary, kHidden),
                        .target = ForbiddenSpan<std::int32_t>(tokens),
                        .loss_weight = ForbiddenSpan<float>(tokens),
                        .nll = ForbiddenSpan<float>(tokens),
                        .dhidden_TD = ForbiddenMatrix(GetParam(), tokens, kHidden),
                        .dweight_VD = ForbiddenMatrix(DType::kFloat32, vocabulary, kHidden),
                        .plan = &plan,
                        .plan_image = ForbiddenSpan<std::byte>(plan.ImageBytes()).data()});
  }
  bool InFp32() const { return GetParam() == DType::kFloat32; }
  void ExpectLaunches(int chunks) {
    const std::string type = InFp32() ? "_f32" : "_bf16";
    std::map<std::string, int> expected = {{"sequela_clear_loss" + type, 1}};
    if (chunks > 0) {
      expected["sequela_gather_rows" + type] = chunks;
      expected["sequela_cross_entropy_loss" + type] = chunks;
      expected["sequela_scatter_rows" + type] = chunks;
    }
    EXPECT_EQ(launches, expected);
    EXPECT_EQ(std::ssize(products), 3 * chunks);
  }

  cuda::LaunchInterface before_ = cuda::CurrentLaunchInterface();
  std::vector<std::pair<void*, std::size_t>> mapped_;
};

TEST_P(CrossEntropyLaunchesTest, OneClearingThenThreeKernelsAndThreeProductsAChunk) {
  Train(8192, 131072);  // 6,553 rows with a target; 512 fit into a chunk, or 1,024 of bf16
  ExpectLaunches(InFp32() ? 13 : 7);
  Train(0, 131072);  // a grid without blocks is not launched
  ExpectLaunches(InFp32() ? 13 : 7);
}

TEST_P(CrossEntropyLaunchesTest, NothingIsClearedGatheredOrScatteredWhereEveryTokenHasATarget) {
  Train(8192, 131072, /*all_have_targets=*/true);
  const int chunks = InFp32() ? 16 : 8;
  const std::string kernel =
      InFp32() ? "sequela_cross_entropy_loss_f32" : "sequela_cross_entropy_loss_bf16";
  EXPECT_EQ(launches, (std::map<std::string, int>{{kernel, chunks}}));
  EXPECT_EQ(std::ssize(products), 3 * chunks);
}

// A last chunk of a few rows would cost as much of dW's traffic as a whole one.
TEST_P(CrossEntropyLaunchesTest, ChunksAreAlikeAndWholeTiles) {
  Train(8192, 40000, /*all_have_targets=*/true);  // 1,664 fit, or 3,456 of bf16
  const std::vector<std::int64_t> expected =
      InFp32() ? std::vector<std::int64_t>{1664, 1664, 1664, 1664, 1536}
               : std::vector<std::int64_t>{2816, 2816, 2560};
  std::vector<std::int64_t> rows;
  for (const GemmArgs& product : products) {
    if (product.transpose_b) rows.push_back(product.c.rows);
  }
  EXPECT_EQ(rows, expected);
}

// Whatever the shape: beyond it is what 64 rows take of a larger vocabulary than anyone has.
TEST_P(CrossEntropyLaunchesTest, WorkspacesAreBounded) {
  const Exec exec{.backend = Backend::kCuda};
  for (const std::int64_t hidden : {64, 768, 2048, 4096, 16384}) {
    for (const std::int64_t vocabulary : {1, 100, 8192, 32768, 50257, 131072, 262144, 1'000'000}) {
      EXPECT_LE(CrossEntropyWorkspaceBytes(exec, vocabulary, hidden, GetParam()), 300'000'000)
          << hidden << " x " << vocabulary;
    }
  }
}

TEST_P(CrossEntropyLaunchesTest, NoTargetNoProduct) {
  Train(1, 100);
  ExpectLaunches(0);
}

// Every row is multiplied once, and all of dW is added to in every chunk.
TEST_P(CrossEntropyLaunchesTest, TheProductsCoverTheRowsWithATarget) {
  Train(20480, 1000);  // two whole chunks of 8,192 would be exactly the rows with a target
  std::int64_t rows_of_logits = 0, rows_of_dweight = 0, rows_of_dhidden = 0;
  for (const GemmArgs& product : products) {
    if (product.transpose_b) rows_of_logits += product.c.rows;
    if (product.transpose_a) rows_of_dweight += product.a.rows;
    EXPECT_EQ(product.accumulate, product.transpose_a);
    if (!product.transpose_a && !product.transpose_b) rows_of_dhidden += product.c.rows;
  }
  EXPECT_EQ(std::ssize(products), 6);
  EXPECT_EQ(rows_of_logits, 16384);
  EXPECT_EQ(rows_of_dweight, 16384);
  EXPECT_EQ(rows_of_dhidden, 16384);
}

INSTANTIATE_TEST_SUITE_P(DTypes, CrossEntropyLaunchesTest,
                         ::testing::Values(DType::kFloat32, DType::kBFloat16));

}  // namespace
}  // namespace sequela

#else

TEST(CrossEntropyLaunchesTest, NeedsCuda) { GTEST_SKIP() << "this build has no CUDA backend"; }

#endif
