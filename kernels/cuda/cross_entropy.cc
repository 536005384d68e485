// Cross-entropy in chunks of rows with a target, each as three products around one kernel: gather,
// logits, loss and the logits' gradient in place, dW += (chunk after chunk, in fp32), dhidden,
// scatter. Which rows these are the host knows from the plan; it reads no device memory.
//
// Logits are kept in fp32, as the product's accumulators are: bf16 would round them to three digits
// before the exponential. Their gradient is written over them in the compute dtype. The larger the
// chunk, the rarer dW is read and written: 448 rows of a vocabulary of 131,072 move 1 GB of it at
// D = 1,024, about the time of that product itself; but memory for more is dearer than that.
#include "kernels/cuda/cross_entropy_kernels.h"

#include <algorithm>
#include <type_traits>

#include "kernels/base/int_math.h"
#include "kernels/cpu/workspace_carver.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/matrix.h"

namespace sequela::cuda {
namespace {

using cpu::WorkspaceCarver;

// With the products' workspace and the gathered rows it stays below 300 MB.
constexpr std::int64_t kLogitsBytes = 224LL << 20;
constexpr std::int64_t kMinRows = 64;
// Enough to fill a device with tiles of dhidden.
constexpr std::int64_t kMaxRows = 2048;

// Rows of our own matrices begin at 128-byte boundaries or better, whatever their length, so that
// products and kernels move whole vectors.
std::int64_t StrideOf(std::int64_t columns) { return RoundUp(columns, 64); }

// By the vocabulary alone, so that chunks do not depend on the device.
std::int64_t ChunkRows(std::int64_t vocabulary) {
  const std::int64_t rows = kLogitsBytes / (4 * std::max<std::int64_t>(StrideOf(vocabulary), 1));
  return std::clamp(rows / kMinRows * kMinRows, kMinRows, kMaxRows);
}

// A short row would leave most of a large block idle.
std::int64_t LogitThreads(std::int64_t vocabulary) {
  return vocabulary <= 4096 ? 128 : kMaxLogitThreads;
}

struct Buffers {
  TensorView logits_RV;   // fp32
  TensorView hidden_RD;   // gathered
  TensorView dhidden_RD;  // to be scattered
};

Buffers TakeBuffers(WorkspaceCarver& carver, std::int64_t vocabulary, std::int64_t hidden_size,
                    DType dtype) {
  const std::int64_t rows = ChunkRows(vocabulary);
  const auto take = [&](DType type, std::int64_t columns) {
    void* data = carver.Take<std::byte>(rows * StrideOf(columns) * SizeOf(type));
    return TensorView(data, type, rows, columns, StrideOf(columns));
  };
  return {take(DType::kFloat32, vocabulary), take(dtype, hidden_size), take(dtype, hidden_size)};
}

template <typename T>
KernelName OfType(const KernelName& f32, const KernelName& bf16) {
  return std::is_same_v<T, float> ? f32 : bf16;
}

// The chunks of one call, one after another; its views are those of the current chunk.
template <typename T>
class Chunks {
 public:
  Chunks(const Exec& exec, const ConstTensorView& hidden, const ConstTensorView& weight,
         const CrossEntropyPlan& plan, const std::byte* plan_image)
      : exec_(exec),
        gemm_exec_(exec),
        hidden_(hidden),
        weight_(weight),
        row_of_(reinterpret_cast<const std::int32_t*>(plan_image)),
        total_(std::ssize(plan.rows())) {
    WorkspaceCarver carver(exec.workspace);
    whole_ = TakeBuffers(carver, weight.rows, hidden.columns, hidden.dtype);
    gemm_exec_.workspace = exec.workspace.subspan(static_cast<std::size_t>(carver.used_bytes()));
  }

  // Gathers the next rows and computes their logits; false where none is left.
  bool Next() {
    first_ += count_;
    count_ = std::min(total_ - first_, whole_.logits_RV.rows);
    if (count_ == 0) return false;
    logits_ = whole_.logits_RV.RowRange(0, count_);
    rows_ = whole_.hidden_RD.RowRange(0, count_);
    Launch(
        exec_,
        OfType<T>(CUDA_KERNEL(sequela_gather_rows_f32), CUDA_KERNEL(sequela_gather_rows_bf16)),
        {.blocks = count_, .threads = kRowCopyThreads},
        CopyRowsParams<T>{RowsOf<T>(hidden_), RowsOf<T>(rows_), row_of_ + first_, hidden_.columns});
    cuda::Gemm(gemm_exec_, {.a = rows_, .b = weight_, .c = logits_, .transpose_b = true});
    return true;
  }

  // Launches a kernel of one block for each row of logits.
  template <typename Params>
  void ForLogits(const KernelName& kernel, const Params& params) const {
    Launch(exec_, kernel, {.blocks = count_, .threads = LogitThreads(weight_.rows)}, params);
  }
  LogitRows logit_rows(std::span<const std::int32_t> target) const {
    return {logits_.As<float>(), logits_.stride, narrow<std::int32_t>(weight_.rows),
            row_of_ + first_, target.data()};
  }

  // From the gradients that lie where the logits lay.
  void AddWeightGradient(const TensorView& dweight) const {
    cuda::Gemm(
        gemm_exec_,
        {.a = LogitGradients(), .b = rows_, .c = dweight, .transpose_a = true, .accumulate = true});
  }
  void WriteHiddenGradient(const TensorView& dhidden) const {
    const TensorView gathered = whole_.dhidden_RD.RowRange(0, count_);
    cuda::Gemm(gemm_exec_, {.a = LogitGradients(), .b = weight_, .c = gathered});
    Launch(exec_,
           OfType<T>(CUDA_KERNEL(sequela_scatter_rows_f32), CUDA_KERNEL(sequela_scatter_rows_bf16)),
           {.blocks = count_, .threads = kRowCopyThreads},
           CopyRowsParams<T>{RowsOf<T>(ConstTensorView(gathered)), RowsOf<T>(dhidden),
                             row_of_ + first_, dhidden.columns});
  }

 private:
  ConstTensorView LogitGradients() const {
    const std::int64_t numbers_per_logit = SizeOf(DType::kFloat32) / SizeOf(DTypeOf<T>());
    return {logits_.data, DTypeOf<T>(), count_, logits_.columns,
            logits_.stride * numbers_per_logit};
  }

  const Exec& exec_;
  Exec gemm_exec_;
  ConstTensorView hidden_, weight_;
  const std::int32_t* row_of_;  // device
  std::int64_t total_;
  Buffers whole_;
  TensorView logits_, rows_;
  std::int64_t first_ = 0;
  std::int64_t count_ = 0;
};

template <typename T>
void Train(const Exec& exec, const CrossEntropyArgs& args) {
  Launch(exec, OfType<T>(CUDA_KERNEL(sequela_clear_loss_f32), CUDA_KERNEL(sequela_clear_loss_bf16)),
         {.blocks = args.hidden_TD.rows, .threads = kRowCopyThreads},
         ClearLossParams<T>{args.target.data(), args.nll.data(), RowsOf<T>(args.dhidden_TD),
                            args.dhidden_TD.columns});
  Chunks<T> chunks(exec, args.hidden_TD, args.weight_VD, *args.plan, args.plan_image);
  while (chunks.Next()) {
    chunks.ForLogits(
        OfType<T>(CUDA_KERNEL(sequela_cross_entropy_loss_f32),
                  CUDA_KERNEL(sequela_cross_entropy_loss_bf16)),
        LossParams{chunks.logit_rows(args.target), args.loss_weight.data(), args.nll.data()});
    chunks.AddWeightGradient(args.dweight_VD);
    chunks.WriteHiddenGradient(args.dhidden_TD);
  }
}

template <typename T>
void Evaluate(const Exec& exec, const CrossEntropyEvaluateArgs& args) {
  const Scores scores = {args.nll.data(), args.corrected_nll.data(), args.group_nll.data(),
                         args.rank.data()};
  const std::int64_t tokens = args.hidden_TD.rows;
  Launch(exec, CUDA_KERNEL(sequela_clear_scores),
         {.blocks = CeilDiv(tokens, kClearScoresThreads), .threads = kClearScoresThreads},
         ClearScoresParams{args.target.data(), tokens, scores});
  Chunks<T> chunks(exec, args.hidden_TD, args.weight_VD, *args.plan, args.plan_image);
  const std::int32_t* group_of_token =
      args.group_nll.empty() ? nullptr : args.group_of_token.data();
  while (chunks.Next()) {
    chunks.ForLogits(CUDA_KERNEL(sequela_cross_entropy_evaluate),
                     EvaluateParams{chunks.logit_rows(args.target), args.log_class_weight.data(),
                                    group_of_token, scores});
  }
}

}  // namespace

void CrossEntropy(const Exec& exec, const CrossEntropyArgs& args) {
  args.hidden_TD.dtype == DType::kFloat32 ? Train<float>(exec, args) : Train<bf16>(exec, args);
}

void CrossEntropyEvaluate(const Exec& exec, const CrossEntropyEvaluateArgs& args) {
  args.hidden_TD.dtype == DType::kFloat32 ? Evaluate<float>(exec, args)
                                          : Evaluate<bf16>(exec, args);
}

std::int64_t CrossEntropyWorkspaceBytes(const Exec& exec, std::int64_t vocabulary,
                                        std::int64_t hidden_size, DType dtype) {
  WorkspaceCarver carver;
  TakeBuffers(carver, vocabulary, hidden_size, dtype);
  return carver.used_bytes() + cuda::GemmWorkspaceBytes(exec, {});
}

}  // namespace sequela::cuda
