// Loops over chunks whose borders depend on the problem's shape alone, so that whatever is summed
// within a chunk is the same for any number of threads.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/base/int_math.h"
#include "kernels/cpu/parallel_for.h"
#include "kernels/exec.h"

namespace sequela::cpu {

// Calls body(begin, end) for [0, chunk), [chunk, 2 chunk), ... up to n.
template <typename Body>
void ParallelChunks(const Exec& exec, std::int64_t n, std::int64_t chunk, const Body& body) {
  ParallelFor(exec.num_threads, CeilDiv(n, chunk), [&](std::int64_t c, int /*thread*/) {
    body(c * chunk, std::min(n, (c + 1) * chunk));
  });
}

// Rows of a chunk that moves about 64 KiB of a matrix with this many columns: enough to pay for the
// loop, few enough to share evenly.
inline std::int64_t RowsPerChunk(std::int64_t columns) {
  return std::max<std::int64_t>(1, 16384 / std::max<std::int64_t>(1, columns));
}

}  // namespace sequela::cpu
