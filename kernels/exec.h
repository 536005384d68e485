// Where and how an operation runs. Passed by const reference to every operation; owns nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace sequela {

enum class Backend : std::uint8_t { kCpu, kCuda };

struct Exec {
  Backend backend = Backend::kCpu;
  int num_threads = 1;     // CPU: threads of this rank; results do not depend on it
  void* stream = nullptr;  // CUDA: the stream to enqueue on; unused on the CPU
  std::span<std::byte>
      workspace{};  // scratch, 64-byte aligned, contents undefined before and after;
                    // each operation says how much it wants (XxxWorkspaceBytes)
};

}  // namespace sequela
