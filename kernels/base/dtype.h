// Element types of buffers and files.
#pragma once

#include <cstdint>

#include "kernels/base/check.h"

namespace sequela {

// Stored in files by name, never by number.
enum class DType : std::uint8_t { kFloat32, kBFloat16, kInt32, kInt64 };

inline std::int64_t SizeOf(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
    case DType::kInt32:
      return 4;
    case DType::kBFloat16:
      return 2;
    case DType::kInt64:
      return 8;
  }
  SEQUELA_CHECK(false);
}

}  // namespace sequela
