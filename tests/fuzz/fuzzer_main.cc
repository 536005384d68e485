// One fuzz target under libFuzzer, whose main() this is linked with. SEQUELA_FUZZ_TARGET is its name.
#include <cstddef>
#include <cstdint>

#include "kernels/base/check.h"
#include "tests/fuzz/target.h"

#ifndef SEQUELA_FUZZ_TARGET  // for tools that read this file by itself
#define SEQUELA_FUZZ_TARGET ""
#endif

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer's name
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sequela::testing;
  static const FuzzTarget* const target = FindFuzzTarget(SEQUELA_FUZZ_TARGET);
  SEQUELA_CHECK(target != nullptr);
  RunFuzzInput(*target, {reinterpret_cast<const char*>(data), size});
  return 0;
}
