#include "trainer/training/matrix_rate.h"

#include <algorithm>

#include "kernels/gemm.h"
#include "runtime/buffer.h"

namespace sequela {
namespace {

constexpr std::int64_t kSize = 512;  // of the square matrices
constexpr double kFirstSeconds = 0.05;
constexpr double kRefreshSeconds = 10.0;

// Pairs of a token and one that it sees, itself included, of a batch's documents.
double AttendedPairs(const Batch& batch) {
  double pairs = 0.0;
  for (std::size_t d = 0; d + 1 < batch.document_begin.size(); ++d) {
    const double length = batch.document_begin[d + 1] - batch.document_begin[d];
    pairs += 0.5 * length * (length + 1.0);
  }
  return pairs;
}

}  // namespace

double TrainingFlops(const ModelConfig& config, const StepInput& batches) {
  double flops = 0.0;
  for (const Batch& batch : batches.microbatches) {
    flops += 6.0 * static_cast<double>(CountMatmulParameters(config)) *
                 static_cast<double>(batch.num_tokens()) +
             12.0 * config.num_hidden_layers * config.q_size() * AttendedPairs(batch);
  }
  return flops;
}

MatrixRate::MatrixRate(const Exec& exec, DType dtype) : exec_(exec), dtype_(dtype) {
  TimeProducts(kFirstSeconds);
}

void MatrixRate::Refresh() {
  if (since_refresh_.Seconds() < kRefreshSeconds) return;
  TimeProducts(0.0);
  since_refresh_.Lap();
}

double MatrixRate::Utilization(double flops, double seconds) {
  best_ = std::max(best_, flops / seconds);
  return flops / (seconds * best_);
}

void MatrixRate::TimeProducts(double seconds) {
  const std::int64_t matrix_bytes = kSize * kSize * SizeOf(DType::kFloat32);
  Buffer a(matrix_bytes), b(matrix_bytes), c(matrix_bytes);
  GemmArgs args;
  args.a = ConstTensorView(a.data(), dtype_, kSize, kSize);
  args.b = ConstTensorView(b.data(), dtype_, kSize, kSize);
  args.c = TensorView(c.data(), DType::kFloat32, kSize, kSize);
  args.transpose_b = true;
  Buffer workspace(GemmWorkspaceBytes(exec_, args));
  Exec own = exec_;
  own.workspace = workspace.bytes();
  Gemm(own, args);  // touches the memory
  const Stopwatch total;
  do {
    const Stopwatch watch;
    Gemm(own, args);
    best_ = std::max(best_, 2.0 * kSize * kSize * kSize / watch.Seconds());
  } while (total.Seconds() < seconds);
}

}  // namespace sequela
