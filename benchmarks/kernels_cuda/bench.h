// What the cases of kernels_cuda_benchmark are made of: memory of the device with values in it, and
// times by the device's own events. Runs on the CPU too, so that it can be rehearsed without a GPU;
// the figures then mean nothing.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/base/tensor_view.h"
#include "runtime/buffer.h"
#include "runtime/device.h"

namespace sequela::benchmarks {

// A matrix and the memory it lies in.
struct Matrix {
  std::shared_ptr<Buffer> memory;
  TensorView view;

  template <typename T>
  std::span<T> As() const {
    return memory->As<T>().first(static_cast<std::size_t>(view.rows * view.columns));
  }
};

// An operation with its arguments, ready to be enqueued as often as one likes.
struct Prepared {
  std::function<void()> run;
  double flops = 0.0;                // useful ones: of pairs that see each other, of no padding
  double bytes = 0.0;                // that must be read and written once
  std::int64_t workspace_bytes = 0;  // on top of arguments and results
};

class Bench {
 public:
  // tiny: every size shrinks to what a CPU does in no time.
  Bench(Device& device, bool tiny);

  bool tiny() const { return tiny_; }
  std::int64_t Scaled(std::int64_t full, std::int64_t tiny) const { return tiny_ ? tiny : full; }
  Device& device() { return device_; }
  Exec exec() const { return ExecOn(device_, 2); }
  // An Exec whose workspace is `workspace`.
  Exec exec(Buffer& workspace) const;

  std::shared_ptr<Buffer> Allocate(std::int64_t bytes);
  // Zeros.
  Matrix Zeros(DType dtype, std::int64_t rows, std::int64_t columns);
  // Normally distributed numbers (noise.h).
  Matrix Values(DType dtype, std::int64_t rows, std::int64_t columns, float deviation = 1.0F);
  template <typename T>
  std::shared_ptr<Buffer> Upload(const std::vector<T>& values) {
    return UploadBytes(std::as_bytes(std::span(values)));
  }
  // What a plan's kernels read of it; null on the CPU, which reads the plan itself.
  template <typename Plan>
  std::shared_ptr<Buffer> UploadImage(const Plan& plan) {
    if (device_.is_host()) return nullptr;
    Buffer image(plan.ImageBytes());
    plan.WriteImage(image.bytes());
    return UploadBytes(image.bytes());
  }

  // What was allocated since the last call.
  std::int64_t TakeAllocatedBytes();

  // Milliseconds of each repeat of each case, after a warm-up of all. A case's repeats go round its
  // arguments, so that what one left in a cache is no use to the next; and each repeat is one of
  // every case, so that all meet the same clocks.
  std::vector<std::vector<double>> Time(const std::vector<std::vector<Prepared>>& cases,
                                        int repeats);

 private:
  std::shared_ptr<Buffer> UploadBytes(std::span<const std::byte> bytes);

  Device& device_;
  bool tiny_;
  std::int64_t allocated_bytes_ = 0;
};

// A named operation. `prepare` may be called several times: each gives arguments of their own.
struct Case {
  std::string name;
  std::function<Prepared(Bench&)> prepare;
  std::string beside;  // the name of the case before it that it is measured together with, if any
};

struct Documents {
  std::string name;
  std::vector<int> lengths;
};
std::vector<Case> AttentionCases(const std::vector<Documents>& mixes, std::int64_t channels);
std::vector<Case> CrossEntropyCases();
std::vector<Case> MemoryCases(bool tiny);
// What the others are held against: dense products, and a copy from device to device.
std::vector<Case> RateCases();

}  // namespace sequela::benchmarks
