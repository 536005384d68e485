// Arrow's results as our exceptions.
#pragma once

#include <arrow/result.h>
#include <arrow/status.h>

#include <filesystem>
#include <utility>

#include "kernels/base/errors.h"

namespace sequela {

// For writing: what Arrow reports there is the disk's or the machine's failure.
inline void CheckWrite(const arrow::Status& status, const std::filesystem::path& file) {
  if (!status.ok()) throw MachineError("{}: cannot write: {}", file.string(), status.message());
}

template <typename T>
T CheckWrite(arrow::Result<T> result, const std::filesystem::path& file) {
  CheckWrite(result.status(), file);
  return std::move(result).ValueUnsafe();
}

}  // namespace sequela
