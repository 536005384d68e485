// A parallel loop whose pieces are handed out one by one, in order, to whichever thread is free.
// Who does a piece must not matter to its result.
#pragma once

#include <omp.h>

#include <atomic>
#include <cstdint>
#include <exception>

#include "kernels/base/check.h"

namespace sequela::cpu {

// Calls body(piece, thread) for every piece in [0, count), thread in [0, num_threads). An exception
// ends the loop early and leaves it here, on the calling thread.
template <typename Body>
void ParallelFor(int num_threads, std::int64_t count, const Body& body) {
  SEQUELA_CHECK(num_threads >= 1, "{} threads", num_threads);
  if (count <= 0) return;
  if (num_threads == 1 || count == 1) {
    for (std::int64_t piece = 0; piece < count; ++piece) body(piece, 0);
    return;
  }
  std::atomic<std::int64_t> next{0};
  std::exception_ptr failure;
#pragma omp parallel num_threads(num_threads) default(none) shared(next, failure, count, body)
  {
    const int thread = omp_get_thread_num();
    try {
      for (std::int64_t piece = next.fetch_add(1); piece < count; piece = next.fetch_add(1)) {
        body(piece, thread);
      }
    } catch (...) {
      next.store(count);
#pragma omp critical(sequela_parallel_for_failure)
      failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace sequela::cpu
