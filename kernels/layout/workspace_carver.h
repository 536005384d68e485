// Cuts a workspace into aligned pieces. The same calls on an empty carver give the size to ask for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/base/check.h"
#include "kernels/base/int_math.h"

namespace sequela {

class WorkspaceCarver {
 public:
  static constexpr std::int64_t kAlignment = 64;

  // Measures only: Take returns null.
  WorkspaceCarver() : measuring_(true) {}
  explicit WorkspaceCarver(std::span<std::byte> workspace) : workspace_(workspace) {}

  template <typename T>
  T* Take(std::int64_t count) {
    const std::int64_t begin = used_;
    used_ += RoundUp(count * static_cast<std::int64_t>(sizeof(T)), kAlignment);
    if (measuring_) return nullptr;
    SEQUELA_CHECK(used_ <= std::ssize(workspace_), "workspace of {} bytes, wanted {} or more",
                  workspace_.size(), used_);
    return reinterpret_cast<T*>(workspace_.data() + begin);
  }
  std::int64_t used_bytes() const { return used_; }

 private:
  bool measuring_ = false;
  std::span<std::byte> workspace_;
  std::int64_t used_ = 0;
};

}  // namespace sequela
