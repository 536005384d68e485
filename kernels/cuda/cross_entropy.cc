// Cross-entropy in chunks of rows with a target, each as three products around one kernel: logits,
// loss and the logits' gradient in place, dW += (chunk after chunk, in fp32), dhidden. Rows that do
// not lie side by side are gathered before and scattered behind. Which rows these are the host
// knows from the plan; it reads no device memory.
//
// What this costs beyond the products is memory traffic, all of it. A chunk reads and writes all of
// dW, 8 bytes a number: at V = 131,072 and D = 768 0.2 ms of an H200's time, where a chunk's third
// of the products takes as long. So chunks are as large as 300 MB allow, and equal, since a small
// last one costs as much. In training with bf16 the logits are therefore rounded to bf16 too, as
// PyTorch does under autocast: twice the rows, half the traffic of the logits themselves (4 bytes
// instead of 10 in the loss). They and their gradients stay in fp32 where the model is in fp32, and
// in evaluation, whose ranks and likelihoods are results.
#include "kernels/cuda/cross_entropy_kernels.h"

#include <algorithm>
#include <type_traits>

#include "kernels/base/int_math.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/matrix.h"
#include "kernels/cuda/row_launch.h"
#include "kernels/layout/workspace_carver.h"

namespace sequela::cuda {
namespace {

constexpr std::int64_t kWorkspaceBytes = 300'000'000;
// Less than a product usually has: enough for dhidden of a chunk in two pieces at D = 2,048, where
// its tiles would not fill a device, and what is left is 1,024 rows at V = 131,072.
constexpr std::int64_t kProductBytes = 20LL << 20;
constexpr std::int64_t kMinRows = 64;
constexpr std::int64_t kMaxRows = 8192;
// The rows of a tile of every product: a part of one takes as long as the whole.
constexpr std::int64_t kTileRows = 128;

// Shared memory that a block keeps logits in: two fit into an SM of Hopper, and one into any SM
// since sm_80.
constexpr std::int64_t kKeptBytes = 96LL << 10;

// Rows of our own matrices begin at 128-byte boundaries or better, whatever their length, so that
// products and kernels move whole vectors.
std::int64_t StrideOf(std::int64_t columns) { return RoundUp(columns, 64); }

struct Sizes {
  std::int64_t vocabulary, hidden;
  DType dtype;
  DType logits;  // their dtype

  std::int64_t row_bytes() const {
    return StrideOf(vocabulary) * SizeOf(logits) + StrideOf(hidden) * SizeOf(dtype);
  }
  // By these sizes alone, so that chunks do not depend on the device. Evaluation, which has no dW,
  // makes do with what training takes.
  std::int64_t max_rows() const {
    const Sizes training{vocabulary, hidden, dtype, dtype};
    const std::int64_t room = logits == dtype
                                  ? kWorkspaceBytes - GemmWorkspaceBytesWithin(kProductBytes)
                                  : training.max_rows() * training.row_bytes();
    const std::int64_t rows = room / std::max<std::int64_t>(row_bytes(), 1);
    return rows < kTileRows ? kMinRows : std::min(rows / kTileRows * kTileRows, kMaxRows);
  }
  // Of each of as few chunks as `total` rows need, but for the last.
  std::int64_t chunk_rows(std::int64_t total) const {
    const std::int64_t chunks = std::max<std::int64_t>(CeilDiv(total, max_rows()), 1);
    return std::min(RoundUp(CeilDiv(total, chunks), kTileRows), max_rows());
  }
};

struct Buffers {
  TensorView logits_RV;
  TensorView rows_RD;  // gathered hidden rows; when they are used up, their gradient
};

Buffers TakeBuffers(WorkspaceCarver& carver, const Sizes& sizes) {
  const auto take = [&](DType type, std::int64_t columns) {
    void* data = carver.Take<std::byte>(sizes.max_rows() * StrideOf(columns) * SizeOf(type));
    return TensorView(data, type, sizes.max_rows(), columns, StrideOf(columns));
  };
  return {take(sizes.logits, sizes.vocabulary), take(sizes.dtype, sizes.hidden)};
}

// A row's 16-byte packs are moved about four at a time by each thread.
std::int64_t LossThreads(std::int64_t packs) {
  constexpr std::int64_t kBatch = 4;
  for (std::int64_t threads = 32; threads < kMaxLogitThreads; threads *= 2) {
    if (packs <= kBatch * threads) return threads;
  }
  return kMaxLogitThreads;
}

// A short row would leave most of a large block idle.
std::int64_t EvaluateThreads(std::int64_t vocabulary) {
  return vocabulary <= 4096 ? 128 : kMaxLogitThreads;
}

template <typename T>
KernelName OfType(const KernelName& f32, const KernelName& bf16) {
  return std::is_same_v<T, float> ? f32 : bf16;
}

// The chunks of one call, one after another; its views are those of the current chunk. T: of hidden
// states and weights.
template <typename T>
class Chunks {
 public:
  Chunks(const Exec& exec, const ConstTensorView& hidden, const ConstTensorView& weight,
         const CrossEntropyPlan& plan, const std::byte* plan_image, DType logits)
      : exec_(exec),
        product_exec_(exec),
        hidden_(hidden),
        weight_(weight),
        row_of_(plan.rows()),
        device_row_of_(reinterpret_cast<const std::int32_t*>(plan_image)) {
    const Sizes sizes{weight.rows, hidden.columns, hidden.dtype, logits};
    chunk_rows_ = sizes.chunk_rows(std::ssize(row_of_));
    WorkspaceCarver carver(exec.workspace);
    whole_ = TakeBuffers(carver, sizes);
    product_exec_.workspace = exec.workspace.subspan(static_cast<std::size_t>(carver.used_bytes()));
  }

  // Computes the next rows' logits; false where none is left.
  bool Next() {
    first_ += count_;
    count_ = std::min(std::ssize(row_of_) - first_, chunk_rows_);
    if (count_ == 0) return false;
    logits_ = whole_.logits_RV.RowRange(0, count_);
    if (AreSideBySide()) {
      rows_ = hidden_.RowRange(FirstToken(), count_);
    } else {
      const TensorView gathered = whole_.rows_RD.RowRange(0, count_);
      CopyRows(
          OfType<T>(CUDA_KERNEL(sequela_gather_rows_f32), CUDA_KERNEL(sequela_gather_rows_bf16)),
          hidden_, gathered);
      rows_ = gathered;
    }
    Multiply({.a = rows_, .b = weight_, .c = logits_, .transpose_b = true});
    return true;
  }

  std::int64_t count() const { return count_; }
  template <typename Logit>
  LogitRows<Logit> logit_rows(std::span<const std::int32_t> target) const {
    return {logits_.As<Logit>(), logits_.stride, narrow<std::int32_t>(weight_.rows),
            device_row_of_ + first_, target.data()};
  }

  // Where the logits lay, their gradients lie: the hidden states are used for the last time, and
  // make room for their own.
  void AddWeightGradient(const TensorView& dweight) const {
    Multiply({.a = logits_, .b = rows_, .c = dweight, .transpose_a = true, .accumulate = true});
  }
  void WriteHiddenGradient(const TensorView& dhidden) const {
    if (AreSideBySide()) {
      Multiply({.a = logits_, .b = weight_, .c = dhidden.RowRange(FirstToken(), count_)});
      return;
    }
    const TensorView gathered = whole_.rows_RD.RowRange(0, count_);
    Multiply({.a = logits_, .b = weight_, .c = gathered});
    CopyRows(
        OfType<T>(CUDA_KERNEL(sequela_scatter_rows_f32), CUDA_KERNEL(sequela_scatter_rows_bf16)),
        gathered, dhidden);
  }

 private:
  std::int64_t FirstToken() const { return row_of_[static_cast<std::size_t>(first_)]; }
  bool AreSideBySide() const {
    return row_of_[static_cast<std::size_t>(first_ + count_ - 1)] - FirstToken() == count_ - 1;
  }
  void CopyRows(const KernelName& kernel, const ConstTensorView& from, const TensorView& to) const {
    const std::int64_t pack = kPackBytes / SizeOf(DTypeOf<T>());
    Launch(exec_, kernel, {.blocks = count_, .threads = kRowCopyThreads},
           CopyRowsParams<T>{RowsOf<T>(from), RowsOf<T>(to), device_row_of_ + first_, from.columns,
                             SuitsPacks(from, pack) && SuitsPacks(to, pack)});
  }
  void Multiply(const GemmArgs& args) const {
    cuda::GemmWithin(product_exec_, kProductBytes, args);
  }

  const Exec& exec_;
  Exec product_exec_;
  ConstTensorView hidden_, weight_;
  std::span<const std::int32_t> row_of_;
  const std::int32_t* device_row_of_;
  std::int64_t chunk_rows_;
  Buffers whole_;
  TensorView logits_;
  ConstTensorView rows_;
  std::int64_t first_ = 0;
  std::int64_t count_ = 0;
};

template <typename T>
void ClearRowsWithoutTarget(const Exec& exec, const CrossEntropyArgs& args) {
  if (std::ssize(args.plan->rows()) == args.hidden_TD.rows) return;
  Launch(exec, OfType<T>(CUDA_KERNEL(sequela_clear_loss_f32), CUDA_KERNEL(sequela_clear_loss_bf16)),
         {.blocks = args.hidden_TD.rows, .threads = kRowCopyThreads},
         ClearLossParams<T>{args.target.data(), args.nll.data(), RowsOf<T>(args.dhidden_TD),
                            args.dhidden_TD.columns});
}

template <typename T>
void Train(const Exec& exec, const CrossEntropyArgs& args) {
  ClearRowsWithoutTarget<T>(exec, args);
  const std::int64_t packs = args.weight_VD.rows * SizeOf(DTypeOf<T>()) / kPackBytes;
  const std::int64_t packs_kept = std::min(packs, kKeptBytes / kPackBytes);
  Chunks<T> chunks(exec, args.hidden_TD, args.weight_VD, *args.plan, args.plan_image, DTypeOf<T>());
  while (chunks.Next()) {
    Launch(exec,
           OfType<T>(CUDA_KERNEL(sequela_cross_entropy_loss_f32),
                     CUDA_KERNEL(sequela_cross_entropy_loss_bf16)),
           {.blocks = chunks.count(),
            .threads = LossThreads(packs),
            .shared_bytes = packs_kept * kPackBytes},
           LossParams<T>{chunks.template logit_rows<T>(args.target), args.loss_weight.data(),
                         args.nll.data(), narrow<std::int32_t>(packs_kept)});
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
  Chunks<T> chunks(exec, args.hidden_TD, args.weight_VD, *args.plan, args.plan_image,
                   DType::kFloat32);
  const std::int32_t* group_of_token =
      args.group_nll.empty() ? nullptr : args.group_of_token.data();
  while (chunks.Next()) {
    Launch(exec, CUDA_KERNEL(sequela_cross_entropy_evaluate),
           {.blocks = chunks.count(), .threads = EvaluateThreads(args.weight_VD.rows)},
           EvaluateParams{chunks.template logit_rows<float>(args.target),
                          args.log_class_weight.data(), group_of_token, scores});
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

std::int64_t CrossEntropyWorkspaceBytes(const Exec&, std::int64_t vocabulary,
                                        std::int64_t hidden_size, DType dtype) {
  const auto bytes = [&](DType logits) {
    WorkspaceCarver carver;
    TakeBuffers(carver, {vocabulary, hidden_size, dtype, logits});
    return carver.used_bytes() + cuda::GemmWorkspaceBytesWithin(kProductBytes);
  };
  return std::max(bytes(dtype), bytes(DType::kFloat32));  // of training, of evaluation
}

}  // namespace sequela::cuda
