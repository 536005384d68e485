// Chunks of rows with targets: gather, logits, softmax and its gradient in place, dW, dhidden,
// scatter. The gradient of the logits overwrites them, in bf16 too (a row then keeps its place and
// uses half of it).
#include "kernels/cpu/cross_entropy.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/base/int_math.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/parallel_for.h"
#include "kernels/cpu/softmax_rows.h"
#include "kernels/layout/workspace_carver.h"

namespace sequela::cpu {
namespace {

constexpr std::int64_t kLogitsBytes = 32 << 20;
constexpr std::int64_t kMinRows = 64;
constexpr std::int64_t kMaxRows = 2048;

// Rows of a chunk: by the vocabulary alone, so that chunks do not depend on the machine.
std::int64_t ChunkRows(std::int64_t vocabulary) {
  const std::int64_t rows = kLogitsBytes / (4 * std::max<std::int64_t>(vocabulary, 1));
  return std::clamp(rows / kMinRows * kMinRows, kMinRows, kMaxRows);
}

// Floats from one row of logits to the next: a line more than the vocabulary, so that rows of a
// power of two do not share the same few cache sets.
std::int64_t LogitsStride(std::int64_t vocabulary) { return RoundUp(vocabulary, 16) + 16; }

struct Buffers {
  std::int32_t* row_of;  // [chunk]: the token of each row
  float* logits_RV;      // rows LogitsStride apart
  void* hidden_RD;       // gathered
  void* dhidden_RD;      // to be scattered
  Exec gemm_exec;        // the rest
};

Buffers TakeBuffers(WorkspaceCarver& carver, std::int64_t vocabulary, std::int64_t hidden_size,
                    DType dtype) {
  const std::int64_t rows = ChunkRows(vocabulary);
  Buffers buffers{};
  buffers.row_of = carver.Take<std::int32_t>(rows);
  buffers.logits_RV = carver.Take<float>(rows * LogitsStride(vocabulary));
  buffers.hidden_RD = carver.Take<char>(rows * hidden_size * SizeOf(dtype));
  buffers.dhidden_RD = carver.Take<char>(rows * hidden_size * SizeOf(dtype));
  return buffers;
}

TensorView LogitsView(float* logits, std::int64_t rows, std::int64_t vocabulary) {
  return {logits, DType::kFloat32, rows, vocabulary, LogitsStride(vocabulary)};
}

// The gradient in the place of the logits.
ConstTensorView LogitsGradientView(const float* logits, DType dtype, std::int64_t rows,
                                   std::int64_t vocabulary) {
  const std::int64_t stride = LogitsStride(vocabulary);
  return {logits, dtype, rows, vocabulary, dtype == DType::kBFloat16 ? 2 * stride : stride};
}

void CopyRow(const ConstTensorView& from, std::int64_t from_row, const TensorView& to,
             std::int64_t to_row) {
  const std::int64_t size = SizeOf(from.dtype);
  std::memcpy(static_cast<char*>(to.data) + to_row * to.stride * size,
              static_cast<const char*>(from.data) + from_row * from.stride * size,
              static_cast<std::size_t>(from.columns * size));
}

// Rows with a target, taken in order, a chunk at a time.
class Chunks {
 public:
  Chunks(const Exec& exec, const ConstTensorView& hidden, const ConstTensorView& weight,
         std::span<const std::int32_t> target)
      : exec_(exec), hidden_(hidden), weight_(weight), target_(target) {
    WorkspaceCarver carver(exec.workspace);
    buffers_ = TakeBuffers(carver, weight.rows, hidden.columns, hidden.dtype);
    buffers_.gemm_exec = exec;
    buffers_.gemm_exec.workspace =
        exec.workspace.subspan(static_cast<std::size_t>(carver.used_bytes()));
  }

  // Gathers the next rows and computes their logits; false where none is left.
  bool Next() {
    count_ = 0;
    for (; next_ < std::ssize(target_) && count_ < ChunkRows(weight_.rows); ++next_) {
      const std::int32_t target = target_[static_cast<std::size_t>(next_)];
      if (target == kNoTarget) continue;
      SEQUELA_CHECK(target >= 0 && target < weight_.rows, "target {} of {}", target, weight_.rows);
      buffers_.row_of[count_++] = static_cast<std::int32_t>(next_);
    }
    if (count_ == 0) return false;
    is_run_ = row_of(count_ - 1) - row_of(0) + 1 == count_;
    if (is_run_) {
      rows_ = hidden_.RowRange(row_of(0), count_);
    } else {
      const TensorView gathered(buffers_.hidden_RD, hidden_.dtype, count_, hidden_.columns);
      ParallelFor(exec_.num_threads, CeilDiv(count_, kMinRows), [&](std::int64_t block, int) {
        for (std::int64_t row = block * kMinRows; row < std::min(count_, (block + 1) * kMinRows);
             ++row) {
          CopyRow(hidden_, row_of(row), gathered, row);
        }
      });
      rows_ = gathered;
    }
    cpu::Gemm(buffers_.gemm_exec, {.a = rows_,
                                   .b = weight_,
                                   .c = LogitsView(buffers_.logits_RV, count_, weight_.rows),
                                   .transpose_b = true});
    return true;
  }

  // body(row of the chunk, token, target, logits) for each row, in parallel.
  template <typename Body>
  void ForEachRow(const Body& body) const {
    ParallelFor(exec_.num_threads, CeilDiv(count_, kRowsAtOnce), [&](std::int64_t block, int) {
      for (std::int64_t row = block * kRowsAtOnce;
           row < std::min(count_, (block + 1) * kRowsAtOnce); ++row) {
        const std::int64_t token = row_of(row);
        body(row, static_cast<std::size_t>(token), target_[static_cast<std::size_t>(token)],
             buffers_.logits_RV + row * LogitsStride(weight_.rows));
      }
    });
  }

  std::int64_t count() const { return count_; }
  std::int64_t row_of(std::int64_t row) const { return buffers_.row_of[row]; }
  bool is_run() const { return is_run_; }  // the rows lie side by side in the stream
  const ConstTensorView& rows() const { return rows_; }
  const Buffers& buffers() const { return buffers_; }

 private:
  static constexpr std::int64_t kRowsAtOnce = 4;

  const Exec& exec_;
  ConstTensorView hidden_, weight_;
  std::span<const std::int32_t> target_;
  Buffers buffers_{};
  ConstTensorView rows_;
  std::int64_t next_ = 0;
  std::int64_t count_ = 0;
  bool is_run_ = false;
};

void ZeroRowsWithoutTarget(const Exec& exec, const CrossEntropyArgs& args) {
  ParallelFor(exec.num_threads, CeilDiv(args.hidden_TD.rows, kMinRows), [&](std::int64_t b, int) {
    const std::int64_t end = std::min(args.hidden_TD.rows, (b + 1) * kMinRows);
    for (std::int64_t token = b * kMinRows; token < end; ++token) {
      if (args.target[static_cast<std::size_t>(token)] != kNoTarget) continue;
      args.nll[static_cast<std::size_t>(token)] = 0.0F;
      const TensorView row = args.dhidden_TD.RowRange(token, 1);
      std::memset(row.data, 0, static_cast<std::size_t>(row.columns * SizeOf(row.dtype)));
    }
  });
}

// nll, and the gradient of the logits in their place.
void LossOfChunk(const Chunks& chunks, const CrossEntropyArgs& args) {
  const std::int64_t vocabulary = args.weight_VD.rows;
  chunks.ForEachRow([&](std::int64_t, std::size_t token, std::int32_t target, float* logits) {
    const float target_logit = logits[target];
    const SumOfExps exps = ExpRow(logits, vocabulary);
    args.nll[token] = static_cast<float>(NegativeLogProbability(exps, target_logit));
    const float weight = args.loss_weight.empty() ? 1.0F : args.loss_weight[token];
    if (args.hidden_TD.dtype == DType::kBFloat16) {
      SoftmaxGradientRow(logits, vocabulary, exps.sum, target, weight,
                         reinterpret_cast<bf16*>(logits));
    } else {
      SoftmaxGradientRow(logits, vocabulary, exps.sum, target, weight, logits);
    }
  });
}

void GradientsOfChunk(const Exec& exec, const Chunks& chunks, const CrossEntropyArgs& args) {
  const DType dtype = args.hidden_TD.dtype;
  const std::int64_t vocabulary = args.weight_VD.rows;
  const Buffers& buffers = chunks.buffers();
  const ConstTensorView dlogits =
      LogitsGradientView(buffers.logits_RV, dtype, chunks.count(), vocabulary);
  cpu::Gemm(buffers.gemm_exec, {.a = dlogits,
                                .b = chunks.rows(),
                                .c = args.dweight_VD,
                                .transpose_a = true,
                                .accumulate = true});
  const TensorView dhidden =
      chunks.is_run()
          ? args.dhidden_TD.RowRange(chunks.row_of(0), chunks.count())
          : TensorView(buffers.dhidden_RD, dtype, chunks.count(), args.hidden_TD.columns);
  cpu::Gemm(buffers.gemm_exec, {.a = dlogits, .b = args.weight_VD, .c = dhidden});
  if (chunks.is_run()) return;
  ParallelFor(exec.num_threads, CeilDiv(chunks.count(), kMinRows), [&](std::int64_t block, int) {
    const std::int64_t end = std::min(chunks.count(), (block + 1) * kMinRows);
    for (std::int64_t row = block * kMinRows; row < end; ++row) {
      CopyRow(dhidden, row, args.dhidden_TD, chunks.row_of(row));
    }
  });
}

}  // namespace

void CrossEntropy(const Exec& exec, const CrossEntropyArgs& args) {
  Chunks chunks(exec, args.hidden_TD, args.weight_VD, args.target);
  ZeroRowsWithoutTarget(exec, args);
  while (chunks.Next()) {
    LossOfChunk(chunks, args);
    GradientsOfChunk(exec, chunks, args);
  }
}

void CrossEntropyEvaluate(const Exec& exec, const CrossEntropyEvaluateArgs& args) {
  const std::int64_t vocabulary = args.weight_VD.rows;
  const bool corrects = !args.log_class_weight.empty();
  Chunks chunks(exec, args.hidden_TD, args.weight_VD, args.target);
  std::ranges::fill(args.nll, 0.0F);
  std::ranges::fill(args.corrected_nll, 0.0F);
  std::ranges::fill(args.group_nll, 0.0F);
  std::ranges::fill(args.rank, -1);
  while (chunks.Next()) {
    chunks.ForEachRow([&](std::int64_t, std::size_t token, std::int32_t target, float* logits) {
      SumOfExps exps = RowSumOfExps(logits, vocabulary);
      args.nll[token] = static_cast<float>(NegativeLogProbability(exps, logits[target]));
      if (corrects) {
        SubtractRow(args.log_class_weight.data(), logits, vocabulary);
        exps = RowSumOfExps(logits, vocabulary);
        if (!args.corrected_nll.empty()) {
          args.corrected_nll[token] =
              static_cast<float>(NegativeLogProbability(exps, logits[target]));
        }
      }
      if (!args.rank.empty()) {
        args.rank[token] = narrow<std::int32_t>(RankOf(logits, vocabulary, target));
      }
      if (args.group_nll.empty()) return;
      const std::int32_t group = args.group_of_token[static_cast<std::size_t>(target)];
      std::int64_t members = 0;
      for (std::int64_t v = 0; v < vocabulary; ++v) {
        if (args.group_of_token[static_cast<std::size_t>(v)] == group)
          logits[members++] = logits[v];
      }
      const SumOfExps of_group = RowSumOfExps(logits, members);
      args.group_nll[token] = static_cast<float>(NegativeLogProbability(exps, of_group.max) -
                                                 std::log(static_cast<double>(of_group.sum)));
    });
  }
}

std::int64_t CrossEntropyWorkspaceBytes(const Exec& exec, std::int64_t vocabulary,
                                        std::int64_t hidden_size, DType dtype) {
  WorkspaceCarver carver;
  TakeBuffers(carver, vocabulary, hidden_size, dtype);
  const std::int64_t rows = ChunkRows(vocabulary);
  const ConstTensorView hidden(nullptr, dtype, rows, hidden_size);
  const ConstTensorView weight(nullptr, dtype, vocabulary, hidden_size);
  const TensorView logits = LogitsView(nullptr, rows, vocabulary);
  const ConstTensorView dlogits = LogitsGradientView(nullptr, dtype, rows, vocabulary);
  const TensorView dweight(nullptr, DType::kFloat32, vocabulary, hidden_size);
  const TensorView dhidden(nullptr, dtype, rows, hidden_size);
  const std::int64_t gemm_bytes = std::max(
      {cpu::GemmWorkspaceBytes(exec, {.a = hidden, .b = weight, .c = logits, .transpose_b = true}),
       cpu::GemmWorkspaceBytes(
           exec,
           {.a = dlogits, .b = hidden, .c = dweight, .transpose_a = true, .accumulate = true}),
       cpu::GemmWorkspaceBytes(exec, {.a = dlogits, .b = weight, .c = dhidden})});
  return carver.used_bytes() + gemm_bytes;
}

}  // namespace sequela::cpu
