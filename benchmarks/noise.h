// What the operands of timed products hold: numbers of both signs. What multiplies zeros draws less
// power and runs faster than training does.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <type_traits>
#include <vector>

#include "kernels/base/bf16.h"
#include "kernels/base/dtype.h"
#include "runtime/device.h"

namespace sequela::benchmarks {

// Normally distributed numbers, which fill memory of any size again and again. Their count is odd, so
// that rows of matrices do not repeat each other.
template <typename T>
std::vector<T> NoiseBlock(float deviation) {
  std::vector<T> block((std::size_t{1} << 18) + 7);
  std::mt19937 generator(1);
  std::normal_distribution<float> normal(0.0F, deviation);
  for (T& value : block) {
    if constexpr (std::is_same_v<T, bf16>) {
      value = ToBf16(normal(generator));
    } else {
      value = normal(generator);
    }
  }
  return block;
}

// [bytes] of the device's memory, as kBFloat16 or kFloat32.
inline void FillWithNoise(Device& device, std::byte* memory, std::int64_t bytes, DType dtype,
                          float deviation = 1.0F) {
  const auto fill = [&](const auto& block) {
    const std::span<const std::byte> from = std::as_bytes(std::span(block));
    for (std::int64_t done = 0; done < bytes; done += std::ssize(from)) {
      device.Copy(memory + done, from.data(), std::min(std::ssize(from), bytes - done));
    }
    device.Synchronize();
  };
  dtype == DType::kBFloat16 ? fill(NoiseBlock<bf16>(deviation))
                            : fill(NoiseBlock<float>(deviation));
}

}  // namespace sequela::benchmarks
