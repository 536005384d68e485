#include "trainer/training/run/matrix_rate.h"

#include <algorithm>

#include "kernels/gemm.h"
#include "runtime/buffer.h"

namespace sequela {
namespace {

// Of the square matrices.
constexpr std::int64_t kHostSize = 512;
constexpr std::int64_t kDeviceSize = 4096;
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

MatrixRate::MatrixRate(Device& device, int num_threads, DType dtype)
    : device_(device), exec_(ExecOn(device, num_threads)), dtype_(dtype) {
  TimeProducts(kFirstSeconds);
}

void MatrixRate::Refresh() {
  // A GPU keeps its rate, and a product in between would make it wait.
  if (!device_.is_host() || since_refresh_.Seconds() < kRefreshSeconds) return;
  TimeProducts(0.0);
  since_refresh_.Lap();
}

double MatrixRate::ShareOf(double flops, double seconds) {
  best_ = std::max(best_, flops / seconds);
  return flops / (seconds * best_);
}

void MatrixRate::TimeProducts(double seconds) {
  const std::int64_t size = device_.is_host() ? kHostSize : kDeviceSize;
  const std::int64_t matrix_bytes = size * size * SizeOf(DType::kFloat32);
  Buffer a(matrix_bytes, device_), b(matrix_bytes, device_), c(matrix_bytes, device_);
  GemmArgs args;
  args.a = ConstTensorView(a.data(), dtype_, size, size);
  args.b = ConstTensorView(b.data(), dtype_, size, size);
  args.c = TensorView(c.data(), DType::kFloat32, size, size);
  args.transpose_b = true;
  Buffer workspace(GemmWorkspaceBytes(exec_, args), device_);
  Exec own = exec_;
  own.workspace = workspace.bytes();
  Gemm(own, args);  // touches the memory
  device_.Synchronize();
  const Stopwatch total;
  do {
    const Stopwatch watch;
    Gemm(own, args);
    device_.Synchronize();
    best_ = std::max(best_, 2.0 * static_cast<double>(size * size * size) / watch.Seconds());
  } while (total.Seconds() < seconds);
}

}  // namespace sequela
