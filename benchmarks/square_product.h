// A square matrix product through our own interface, which on CUDA is cuBLASLt: what other operations
// are held against.
#pragma once

#include <algorithm>
#include <cstdint>

#include "benchmarks/noise.h"
#include "kernels/gemm.h"
#include "runtime/buffer.h"
#include "runtime/device.h"

namespace sequela::benchmarks {

// One thread at a time.
class SquareProduct {
 public:
  // size x size, operands and result of `dtype`, summed in fp32. The device outlives it.
  SquareProduct(Device& device, DType dtype, std::int64_t size)
      : size_(size),
        a_(size * size * SizeOf(dtype), device),
        b_(size * size * SizeOf(dtype), device),
        c_(size * size * SizeOf(dtype), device),
        exec_(ExecOn(device)),
        args_{.a = ConstTensorView(a_.data(), dtype, size, size),
              .b = ConstTensorView(b_.data(), dtype, size, size),
              .c = TensorView(c_.data(), dtype, size, size),
              .transpose_b = true},
        workspace_(std::max<std::int64_t>(64, GemmWorkspaceBytes(exec_, args_)), device) {
    for (Buffer* operand : {&a_, &b_}) {
      FillWithNoise(device, operand->data(), operand->size_bytes(), dtype);
    }
    exec_.workspace = workspace_.bytes();
  }
  SquareProduct(const SquareProduct&) = delete;
  SquareProduct& operator=(const SquareProduct&) = delete;

  void Run() const { Gemm(exec_, args_); }  // enqueues it
  double flops() const {
    const auto edge = static_cast<double>(size_);
    return 2.0 * edge * edge * edge;
  }

 private:
  std::int64_t size_;
  Buffer a_, b_, c_;
  Exec exec_;
  GemmArgs args_;
  Buffer workspace_;
};

}  // namespace sequela::benchmarks
