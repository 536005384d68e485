// Dropout (kernels/dropout.h).
#pragma once

#include "kernels/cuda/row_kernels.h"

namespace sequela::cuda {

template <typename T>
struct DropoutParams {
  RowWork work;
  Rows<const T> x;
  Rows<T> out;
  const std::int64_t* sample;          // [documents]
  const std::int32_t* document_begin;  // [documents + 1]
  const std::int32_t* position;        // [rows]
  std::uint64_t key;
  std::uint32_t documents;
  std::uint32_t threshold;  // a word below it drops its element
  float scale;              // of what is kept
};
SEQUELA_KERNEL sequela_dropout_f32(DropoutParams<float> p);
SEQUELA_KERNEL sequela_dropout_bf16(DropoutParams<bf16> p);

}  // namespace sequela::cuda
