// Small kernels with faults of the kinds that kernels have, for seeded_faults_test.cc, here and in
// faults_hopper: each is a template that is right with kNone and wrong in one place with any other
// fault.
#pragma once

#include <cstdint>

namespace sequela::faults {

struct FaultParams {
  const float* in;
  float* out;
  int count;  // elements of `in`, where a kernel asks
};

inline constexpr int kThreads = 128;

enum class Fault {
  kNone,
  kDroppedBarrier,
  kDroppedSecondBarrier,
  kPlainCounter,
  kSharedWord,
  kDivergent,
  kMismatched,
  kMaskTooWide,
  kMaskTooNarrow,
  kMisaligned,
  kUnwritten,
  kWrongSwizzle,
  kNoSwizzle,
  kStale,
  kNotTransposed,
  kNoWait,
  kWaitForTooFew,
  kNoCommit,
  kNoProxyFence,
  kEarlyProxyFence,
  kNoFence,
  kAfterFence,
  kOverwritten,
};

// fault_<name> runs `function` with the fault.
#define FAULT_KERNEL(name, function, fault)                                                 \
  extern "C" __global__ void __launch_bounds__(kThreads) fault_##name(FaultParams params) { \
    function<Fault::fault>(params);                                                         \
  }

}  // namespace sequela::faults
