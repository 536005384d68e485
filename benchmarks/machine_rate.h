// What a benchmark's figures are held against: the machine's own matrix rate, by oneDNN with its
// own threading. Absolute figures do not compare across machines, nor across minutes of a shared
// one; shares of a rate taken in the same run do.
#pragma once

#include <omp.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <dnnl.hpp>

namespace sequela {

// M, K, N of the products whose best counts as the machine's rate.
inline constexpr std::array<std::array<std::int64_t, 3>, 3> kMachineProducts = {
    {{1024, 1024, 1024}, {4096, 512, 2048}, {2048, 768, 2048}}};

// FLOP/s of one product (fp32, or bf16 summed in fp32), best of five. Throws dnnl::error where the
// machine has no bf16 instructions.
inline double OneDnnProductRate(const std::array<std::int64_t, 3>& shape, bool is_bf16) {
  using dnnl::memory;
  const auto [m, k, n] = shape;
  const auto type = is_bf16 ? memory::data_type::bf16 : memory::data_type::f32;
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  dnnl::stream stream(engine);
  const memory::desc a({m, k}, type, memory::format_tag::ab);
  const memory::desc b({k, n}, type, memory::format_tag::ab);
  const memory::desc c({m, n}, memory::data_type::f32, memory::format_tag::ab);
  const dnnl::matmul::primitive_desc description(dnnl::matmul::desc(a, b, c), engine);
  const dnnl::matmul product(description);
  memory a_memory(a, engine);
  memory b_memory(b, engine);
  memory c_memory(c, engine);
  std::fill_n(static_cast<char*>(a_memory.get_data_handle()), a.get_size(), 0);
  std::fill_n(static_cast<char*>(b_memory.get_data_handle()), b.get_size(), 0);
  double best_seconds = 1e9;
  for (int i = 0; i < 6; ++i) {
    const auto start = std::chrono::steady_clock::now();
    product.execute(
        stream, {{DNNL_ARG_SRC, a_memory}, {DNNL_ARG_WEIGHTS, b_memory}, {DNNL_ARG_DST, c_memory}});
    stream.wait();
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    if (i > 0) best_seconds = std::min(best_seconds, taken.count());
  }
  return 2.0 * static_cast<double>(m * k * n) / best_seconds;
}

// The best of the products with `threads` threads. Without bf16 instructions fp32's rate is the
// machine's.
inline double MachineRate(bool is_bf16, int threads) {
  omp_set_num_threads(threads);
  double best = 0.0;
  for (const auto& shape : kMachineProducts) {
    try {
      best = std::max(best, OneDnnProductRate(shape, is_bf16));
    } catch (const dnnl::error&) {
      best = std::max(best, OneDnnProductRate(shape, false));
    }
  }
  return best;
}

}  // namespace sequela
