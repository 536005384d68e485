// What a GPU's steps are held against: the rate of its dense products through our own interface,
// which on CUDA is cuBLASLt. The CPU's is in machine_rate.h.
#pragma once

#include <algorithm>
#include <cstdint>
#include <random>
#include <type_traits>
#include <vector>

#include "kernels/gemm.h"
#include "runtime/buffer.h"
#include "runtime/device.h"
#include "runtime/step_timer.h"

namespace sequela {

// Numbers of both signs: what multiplies zeros draws less power and runs faster than training does.
template <typename T>
void FillWithNoise(Device& device, Buffer& memory) {
  std::mt19937 generator(1);
  std::normal_distribution<float> normal;
  std::vector<T> block((std::size_t{1} << 18) + 7);  // odd: rows do not repeat each other
  for (T& value : block) {
    if constexpr (std::is_same_v<T, bf16>) {
      value = ToBf16(normal(generator));
    } else {
      value = normal(generator);
    }
  }
  const auto block_bytes = static_cast<std::int64_t>(block.size() * sizeof(T));
  for (std::int64_t done = 0; done < memory.size_bytes(); done += block_bytes) {
    device.Copy(memory.data() + done, block.data(),
                std::min(block_bytes, memory.size_bytes() - done));
  }
  device.Synchronize();
}

// FLOP/s of a square product summed in fp32, best of five.
inline double DeviceProductRate(Device& device, DType dtype, std::int64_t size) {
  Buffer a(size * size * SizeOf(dtype), device);
  Buffer b(size * size * SizeOf(dtype), device);
  Buffer c(size * size * SizeOf(dtype), device);
  for (Buffer* operand : {&a, &b}) {
    dtype == DType::kBFloat16 ? FillWithNoise<bf16>(device, *operand)
                              : FillWithNoise<float>(device, *operand);
  }
  Exec exec = ExecOn(device);
  const GemmArgs args = {.a = ConstTensorView(a.data(), dtype, size, size),
                         .b = ConstTensorView(b.data(), dtype, size, size),
                         .c = TensorView(c.data(), dtype, size, size),
                         .transpose_b = true};
  Buffer workspace(std::max<std::int64_t>(64, GemmWorkspaceBytes(exec, args)), device);
  exec.workspace = workspace.bytes();
  double best_seconds = 1e9;
  for (int i = 0; i < 6; ++i) {
    const Stopwatch watch;
    Gemm(exec, args);
    device.Synchronize();
    if (i > 0) best_seconds = std::min(best_seconds, watch.Seconds());
  }
  const auto edge = static_cast<double>(size);
  return 2.0 * edge * edge * edge / best_seconds;
}

// The better of two sizes that fill a GPU.
inline double DeviceRate(Device& device, DType dtype) {
  return std::max(DeviceProductRate(device, dtype, 4096), DeviceProductRate(device, dtype, 8192));
}

}  // namespace sequela
