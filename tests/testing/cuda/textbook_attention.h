// A plain implementation with the rounding points of tensor cores, for the rule of reduced
// precision: "as far from fp32 as honest bf16 is, at most twice".
#pragma once

#include "kernels/cuda/launch.h"
#include "kernels/cuda/launch_interface.h"

namespace sequela::testing {

// A launcher for LaunchInterface::launch. The tensor-core kernels of attention are computed by the
// textbook (tests/reference/attention.h), probabilities and their gradients rounded to bf16 where
// they multiply vectors; every other kernel is interpreted.
void RunWithTextbookAttention(const cuda::KernelLaunch& launch);

// Puts it in the interpreter's place for as long as it lives. Only where the test program runs on
// the interpreter.
class ScopedTextbookAttention {
 public:
  ScopedTextbookAttention();
  ~ScopedTextbookAttention();
  ScopedTextbookAttention(const ScopedTextbookAttention&) = delete;
  ScopedTextbookAttention& operator=(const ScopedTextbookAttention&) = delete;

 private:
  cuda::LaunchInterface before_;
};

}  // namespace sequela::testing
