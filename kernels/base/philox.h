// Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as
// 1, 2, 3", SC 2011). A number is a function of (seed, purpose, index) alone: the same on every
// backend, rank and thread count. Safe for concurrent use: there is no state.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <string_view>

#include "kernels/base/host_device.h"

namespace sequela {

using PhiloxBlock = std::array<std::uint32_t, 4>;

// One block of four words for a 128-bit counter (low, high) and a 64-bit key.
SEQUELA_HOST_DEVICE inline PhiloxBlock Philox(std::uint64_t key, std::uint64_t counter_low,
                                              std::uint64_t counter_high) {
  auto key0 = static_cast<std::uint32_t>(key);
  auto key1 = static_cast<std::uint32_t>(key >> 32);
  auto c0 = static_cast<std::uint32_t>(counter_low);
  auto c1 = static_cast<std::uint32_t>(counter_low >> 32);
  auto c2 = static_cast<std::uint32_t>(counter_high);
  auto c3 = static_cast<std::uint32_t>(counter_high >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = 0xD2511F53ULL * c0;
    const std::uint64_t product1 = 0xCD9E8D57ULL * c2;
    c0 = static_cast<std::uint32_t>(product1 >> 32) ^ c1 ^ key0;
    c1 = static_cast<std::uint32_t>(product1);
    c2 = static_cast<std::uint32_t>(product0 >> 32) ^ c3 ^ key1;
    c3 = static_cast<std::uint32_t>(product0);
    key0 += 0x9E3779B9U;
    key1 += 0xBB67AE85U;
  }
  return {c0, c1, c2, c3};
}

// A 64-bit number for a name (FNV-1a): the `purpose` of a random stream, a parameter's name.
constexpr std::uint64_t HashName(std::string_view name) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : name) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  }
  return hash;
}

// A finalizer that spreads every input bit over all output bits (splitmix64).
SEQUELA_HOST_DEVICE constexpr std::uint64_t MixBits(std::uint64_t x) {
  x ^= x >> 30;
  x *= 0xbf58476d1ce4e5b9ULL;
  x ^= x >> 27;
  x *= 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

// Uniform on [0, 1) from 24 of the word's bits, in float.
SEQUELA_HOST_DEVICE inline float UniformFloat(std::uint32_t word) {
  return static_cast<float>(word >> 8) * 0x1.0p-24F;
}

// Uniform on (0, 1), never 0 or 1, from 52 bits of two words: with 53 the last value would round
// to 1.
SEQUELA_HOST_DEVICE inline double UniformDouble(std::uint32_t low, std::uint32_t high) {
  const std::uint64_t bits = (static_cast<std::uint64_t>(high) << 32) | low;
  return (static_cast<double>(bits >> 12) + 0.5) * 0x1.0p-52;
}

// A sequential stream over the blocks of one (seed, purpose, index): for code that draws an unknown
// number of values, such as a simulated life. One thread at a time.
class PhiloxStream {
 public:
  PhiloxStream(std::uint64_t seed, std::uint64_t purpose, std::uint64_t index)
      : key_(MixBits(seed ^ MixBits(purpose))), index_(index) {}

  std::uint32_t NextWord() {
    if (used_ == 4) {
      block_ = Philox(key_, counter_++, index_);
      used_ = 0;
    }
    return block_[static_cast<std::size_t>(used_++)];
  }
  // Uniform on (0, 1).
  double NextUniform() {
    const std::uint32_t low = NextWord();
    return UniformDouble(low, NextWord());
  }
  // Exponential with mean 1.
  double NextExponential() { return -std::log(NextUniform()); }
  // Standard normal (Box-Muller; the second value is not kept, so that a draw is two uniforms).
  double NextNormal() {
    const double radius = std::sqrt(-2.0 * std::log(NextUniform()));
    return radius * std::cos(2.0 * 3.14159265358979323846 * NextUniform());
  }

 private:
  std::uint64_t key_;
  std::uint64_t index_;
  std::uint64_t counter_ = 0;
  PhiloxBlock block_{};
  int used_ = 4;
};

}  // namespace sequela
