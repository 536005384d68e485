#include "benchmarks/kernels_cuda/bench.h"

#include <algorithm>

#include "benchmarks/kernels_cuda/stream_clock.h"
#include "benchmarks/noise.h"
#include "runtime/step_timer.h"

namespace sequela::benchmarks {
namespace {

constexpr double kWarmUpSeconds = 0.05;  // clocks rise with load

}  // namespace

Bench::Bench(Device& device, bool tiny) : device_(device), tiny_(tiny) {}

Exec Bench::exec(Buffer& workspace) const {
  Exec exec = this->exec();
  exec.workspace = workspace.bytes();
  return exec;
}

std::shared_ptr<Buffer> Bench::Allocate(std::int64_t bytes) {
  const std::int64_t size = std::max<std::int64_t>(bytes, 64);
  allocated_bytes_ += size;
  return std::make_shared<Buffer>(size, device_);
}

std::int64_t Bench::TakeAllocatedBytes() { return std::exchange(allocated_bytes_, 0); }

Matrix Bench::Zeros(DType dtype, std::int64_t rows, std::int64_t columns) {
  std::shared_ptr<Buffer> memory = Allocate(rows * columns * SizeOf(dtype));
  std::byte* const data = memory->data();
  return {std::move(memory), TensorView(data, dtype, rows, columns)};
}

Matrix Bench::Values(DType dtype, std::int64_t rows, std::int64_t columns, float deviation) {
  Matrix matrix = Zeros(dtype, rows, columns);
  FillWithNoise(device_, matrix.memory->data(), rows * columns * SizeOf(dtype), dtype, deviation);
  return matrix;
}

std::shared_ptr<Buffer> Bench::UploadBytes(std::span<const std::byte> bytes) {
  std::shared_ptr<Buffer> memory = Allocate(std::ssize(bytes));
  device_.Copy(memory->data(), bytes.data(), std::ssize(bytes));
  device_.Synchronize();
  return memory;
}

std::vector<std::vector<double>> Bench::Time(const std::vector<std::vector<Prepared>>& cases,
                                             int repeats) {
  const Stopwatch warm_up;
  do {
    for (const auto& turns : cases) {
      for (const Prepared& turn : turns) turn.run();
    }
    device_.Synchronize();
  } while (!tiny_ && warm_up.Seconds() < kWarmUpSeconds);
  // All repeats are enqueued before the first is waited for: the host's part is hidden, as it is in
  // training.
  const auto count = static_cast<int>(cases.size());
  StreamClock clock(device_, repeats * count);
  for (int i = 0; i < repeats * count; ++i) {
    const auto& turns = cases[static_cast<std::size_t>(i % count)];
    clock.Begin(i);
    turns[static_cast<std::size_t>(i / count) % turns.size()].run();
    clock.End(i);
  }
  const std::vector<double> all = clock.Milliseconds();
  std::vector<std::vector<double>> times(cases.size());
  for (std::size_t i = 0; i < all.size(); ++i) times[i % cases.size()].push_back(all[i]);
  return times;
}

}  // namespace sequela::benchmarks
