// Matrix products by cuBLASLt. Its matrices are column-major and ours row-major; a row-major matrix
// is the column-major one of its transpose, so that C = op(A) op(B) is asked for as
// C^T = op(B)^T op(A)^T, with A and B changing places and no number moved.
//
// The algorithm is chosen once for a shape by the library's heuristic, among those that need no
// more than our workspace, and kept. Nothing is timed: the choice follows from the shape (sizes,
// strides, types, the addresses' alignment up to 16 bytes), the device and the library's version,
// never from what ran before. Batches differ in tokens, and each count is a shape of its own; a
// choice costs the host tens of microseconds once and about a kilobyte for good.
//
// For a workspace of the caller's own NVIDIA promises the same bits at every run on the same kind
// of device (cuBLAS documentation, "Results reproducibility"). A long K may be split only by the
// scheme that keeps partial sums in the workspace in fp32 and adds them in a step of its own; the
// others add in the type of C, which would round bf16 more than once. fp32 means fp32:
// CUBLAS_COMPUTE_32F does not take TF32.
#include <cublasLt.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <array>
#include <compare>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>

#include "kernels/base/errors.h"
#include "kernels/base/int_math.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/launch_interface.h"
#include "kernels/cuda/matrix.h"
#include "kernels/cuda/rowwise.h"

namespace sequela::cuda {
namespace {

// What NVIDIA recommends for Hopper; older devices are content with 4 MiB.
constexpr std::int64_t kUsualWorkspaceBytes = 32LL << 20;
constexpr std::int64_t kWorkspaceAlignment = 256;
// Vector loads and TMA ask for no more.
constexpr std::uint32_t kMaxAlignment = 16;

std::int64_t Depth(const GemmArgs& args) { return args.transpose_a ? args.a.rows : args.a.columns; }

std::string TextOf(const GemmArgs& args) {
  const auto name = [](DType dtype) { return dtype == DType::kBFloat16 ? "bf16" : "fp32"; };
  return fmt::format("[{}, {}] {} A{} [{}, {}] B{} [{}, {}], {} to {}", args.c.rows, args.c.columns,
                     args.accumulate ? "+=" : "=", args.transpose_a ? "^T" : "", args.a.rows,
                     args.a.columns, args.transpose_b ? "^T" : "", args.b.rows, args.b.columns,
                     name(args.a.dtype), name(args.c.dtype));
}

// `what` failed for this product.
void Check(cublasStatus_t status, const char* what, const GemmArgs& args) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw MachineError("cuBLASLt: {} failed for {}: {}", what, TextOf(args),
                     cublasLtGetStatusString(status));
}

// The largest power of two, up to kMaxAlignment, that divides the address; a null pointer stands
// for one of our buffers, which are aligned.
std::uint32_t AlignmentOf(const void* address) {
  const auto bits = reinterpret_cast<std::uintptr_t>(address) | kMaxAlignment;
  return static_cast<std::uint32_t>(bits & (~bits + 1));
}

// All that the heuristic's answer may depend on.
struct Shape {
  int device = 0;
  std::int64_t workspace_bytes;
  std::int64_t m, n, k;
  std::int64_t a_stride, b_stride, c_stride;
  std::uint32_t a_alignment, b_alignment, c_alignment;
  DType type, out_type;
  bool transpose_a, transpose_b, accumulate;

  // clang-tidy 14 takes the 0 that this compares with for a pointer.
  friend auto operator<=>(const Shape&, const Shape&) = default;  // NOLINT(modernize-use-nullptr)
};

Shape ShapeOf(int device, std::int64_t workspace_bytes, const GemmArgs& args) {
  return {.device = device,
          .workspace_bytes = workspace_bytes,
          .m = args.c.rows,
          .n = args.c.columns,
          .k = Depth(args),
          .a_stride = args.a.stride,
          .b_stride = args.b.stride,
          .c_stride = args.c.stride,
          .a_alignment = AlignmentOf(args.a.data),
          .b_alignment = AlignmentOf(args.b.data),
          .c_alignment = AlignmentOf(args.c.data),
          .type = args.a.dtype,
          .out_type = args.c.dtype,
          .transpose_a = args.transpose_a,
          .transpose_b = args.transpose_b,
          .accumulate = args.accumulate};
}

// How the library is asked for a shape: its A is our B and the other way round.
struct Product {
  cublasLtMatmulDescOpaque_t operation;
  cublasLtMatrixLayoutOpaque_t a, b, c;
  cublasLtMatmulAlgo_t algorithm;
};

cudaDataType TypeOf(DType dtype) { return dtype == DType::kBFloat16 ? CUDA_R_16BF : CUDA_R_32F; }

void Describe(const GemmArgs& args, Product& product) {
  const auto transposed = [&](cublasLtMatmulDescAttributes_t attribute, bool transpose) {
    const cublasOperation_t operation = transpose ? CUBLAS_OP_T : CUBLAS_OP_N;
    Check(cublasLtMatmulDescSetAttribute(&product.operation, attribute, &operation,
                                         sizeof(operation)),
          "setting a transposition", args);
  };
  const auto layout = [&](const ConstTensorView& view, cublasLtMatrixLayoutOpaque_t& to) {
    Check(
        cublasLtMatrixLayoutInit(&to, TypeOf(view.dtype), static_cast<std::uint64_t>(view.columns),
                                 static_cast<std::uint64_t>(view.rows), view.stride),
        "describing a matrix", args);
  };
  Check(cublasLtMatmulDescInit(&product.operation, CUBLAS_COMPUTE_32F, CUDA_R_32F),
        "describing the product", args);
  transposed(CUBLASLT_MATMUL_DESC_TRANSA, args.transpose_b);
  transposed(CUBLASLT_MATMUL_DESC_TRANSB, args.transpose_a);
  layout(args.b, product.a);
  layout(args.a, product.b);
  layout(args.c, product.c);
}

// What is asked of an algorithm for this shape.
cublasLtMatmulPreferenceOpaque_t PreferenceFor(const Shape& shape, const GemmArgs& args) {
  cublasLtMatmulPreferenceOpaque_t preference;
  Check(cublasLtMatmulPreferenceInit(&preference), "stating preferences", args);
  const auto set = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
    Check(cublasLtMatmulPreferenceSetAttribute(&preference, attribute, &value, sizeof(value)),
          "stating a preference", args);
  };
  set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<std::uint64_t>(shape.workspace_bytes));
  set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
      static_cast<std::uint32_t>(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, shape.b_alignment);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, shape.a_alignment);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, shape.c_alignment);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, shape.c_alignment);
  return preference;
}

// Whether the product moves its result about as long as it multiplies, and how a kernel's tile
// suits that: 0 is best. The result is fp32, read and written: 8 bytes for 2 k FLOPs. The library's
// estimate forgets it and puts tiles first whose kernels multiply nothing meanwhile: on an H200
// [131072, 768] += over a depth of 1,024 took 0.43 ms as it proposed, 0.35 with tiles of 128 x 160,
// 0.34 with 128 x 128; with 2,048 columns 1.24, 0.87 and 0.94.
bool MovesItsResult(const Shape& shape) {
  constexpr std::int64_t kShortDepth = 4096;
  constexpr std::int64_t kCachedNumbers = (std::int64_t{64} << 20) / 4;  // of a result, by L2
  return shape.accumulate && shape.type == DType::kBFloat16 && shape.out_type == DType::kFloat32 &&
         shape.k <= kShortDepth && shape.m * shape.n > kCachedNumbers && IsHopper();
}
int RankOfTile(const cublasLtMatmulAlgo_t& algorithm, const GemmArgs& args) {
  std::uint32_t tile = CUBLASLT_MATMUL_TILE_UNDEFINED;
  std::size_t written = 0;
  Check(cublasLtMatmulAlgoConfigGetAttribute(&algorithm, CUBLASLT_ALGO_CONFIG_TILE_ID, &tile,
                                             sizeof(tile), &written),
        "asking for an algorithm's tile", args);
  return tile == CUBLASLT_MATMUL_TILE_128x160 ? 0 : tile == CUBLASLT_MATMUL_TILE_128x128 ? 1 : 2;
}

cublasLtMatmulAlgo_t Choose(cublasLtHandle_t handle, const Shape& shape, const GemmArgs& args,
                            Product& product) {
  cublasLtMatmulPreferenceOpaque_t preference = PreferenceFor(shape, args);
  std::array<cublasLtMatmulHeuristicResult_t, 8> results;
  int count = 0;
  Check(cublasLtMatmulAlgoGetHeuristic(handle, &product.operation, &product.a, &product.b,
                                       &product.c, &product.c, &preference,
                                       static_cast<int>(results.size()), results.data(), &count),
        "choosing an algorithm", args);
  const auto end = std::remove_if(
      results.begin(), results.begin() + count, [&](const cublasLtMatmulHeuristicResult_t& result) {
        return result.state != CUBLAS_STATUS_SUCCESS ||
               narrow<std::int64_t>(result.workspaceSize) > shape.workspace_bytes;
      });
  if (end == results.begin()) throw MachineError("cuBLASLt has no algorithm for {}", TextOf(args));
  if (!MovesItsResult(shape)) return results.front().algo;  // by the library, the fastest
  return std::min_element(results.begin(), end,
                          [&](const auto& a, const auto& b) {
                            return RankOfTile(a.algo, args) < RankOfTile(b.algo, args);
                          })
      ->algo;
}

// The library's handles, one per device, and every algorithm that was chosen. Safe for concurrent
// use.
class Library {
 public:
  // Made at the first product, since without a driver nothing may be called; never destroyed, since
  // the driver may be gone before our static objects are.
  static Library& Instance() {
    static Library* const library = new Library;
    return *library;
  }

  struct Prepared {
    cublasLtHandle_t handle;
    Product* product;
  };
  Prepared Prepare(const GemmArgs& args, std::int64_t workspace_bytes) {
    int device = 0;
    const cudaError_t error = cudaGetDevice(&device);
    if (error != cudaSuccess) {
      throw MachineError("no CUDA device for {}: {}", TextOf(args), cudaGetErrorString(error));
    }
    const std::scoped_lock lock(mutex_);
    cublasLtHandle_t& handle = handles_[device];
    if (handle == nullptr) Check(cublasLtCreate(&handle), "starting", args);
    const Shape shape = ShapeOf(device, workspace_bytes, args);
    const auto found = products_.find(shape);
    if (found != products_.end()) return {handle, &found->second};
    Product product;
    Describe(args, product);
    product.algorithm = Choose(handle, shape, args, product);
    return {handle, &products_.emplace(shape, product).first->second};
  }

 private:
  std::mutex mutex_;
  std::map<int, cublasLtHandle_t> handles_;
  std::map<Shape, Product> products_;  // its elements never move
};

void* AlignedWorkspace(const Exec& exec, std::int64_t bytes) {
  void* begin = exec.workspace.data();
  std::size_t room = exec.workspace.size();
  const void* aligned =
      std::align(kWorkspaceAlignment, static_cast<std::size_t>(bytes), begin, room);
  SEQUELA_CHECK(aligned != nullptr, "workspace of {} bytes, wanted {}", exec.workspace.size(),
                GemmWorkspaceBytesWithin(bytes));
  return begin;
}

}  // namespace

void GemmWithin(const Exec& exec, std::int64_t workspace_bytes, const GemmArgs& args) {
  if (args.c.empty()) return;
  if (Depth(args) == 0) {
    if (!args.accumulate) cuda::FillZero(exec, {.x = args.c});
    return;
  }
  void* workspace = AlignedWorkspace(exec, workspace_bytes);
  if (CurrentLaunchInterface().gemm != nullptr) {
    CurrentLaunchInterface().gemm(exec, args);
    return;
  }
  const auto [handle, product] = Library::Instance().Prepare(args, workspace_bytes);
  const float alpha = 1.0F, beta = args.accumulate ? 1.0F : 0.0F;
  Check(cublasLtMatmul(handle, &product->operation, &alpha, args.b.data, &product->a, args.a.data,
                       &product->b, &beta, args.c.data, &product->c, args.c.data, &product->c,
                       &product->algorithm, workspace, static_cast<std::size_t>(workspace_bytes),
                       static_cast<cudaStream_t>(exec.stream)),
        "the product", args);
}

std::int64_t GemmWorkspaceBytesWithin(std::int64_t workspace_bytes) {
  return workspace_bytes + kWorkspaceAlignment;
}

void Gemm(const Exec& exec, const GemmArgs& args) { GemmWithin(exec, kUsualWorkspaceBytes, args); }

// The same for every shape, so that an algorithm never depends on how much there happens to be.
std::int64_t GemmWorkspaceBytes(const Exec&, const GemmArgs&) {
  return GemmWorkspaceBytesWithin(kUsualWorkspaceBytes);
}

void PrepareGemm(const Exec&, const GemmArgs& args) {
  if (args.c.empty() || Depth(args) == 0 || CurrentLaunchInterface().gemm != nullptr) return;
  Library::Instance().Prepare(args, kUsualWorkspaceBytes);
}

}  // namespace sequela::cuda
