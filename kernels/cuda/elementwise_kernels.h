// Casts, sums and fills of matrices.
#pragma once

#include "kernels/cuda/row_kernels.h"

namespace sequela::cuda {

template <typename From, typename To>
struct CastParams {
  RowWork work;
  Rows<const From> from;
  Rows<To> to;
};
SEQUELA_KERNEL sequela_cast_f32_f32(CastParams<float, float> p);
SEQUELA_KERNEL sequela_cast_f32_bf16(CastParams<float, bf16> p);
SEQUELA_KERNEL sequela_cast_bf16_f32(CastParams<bf16, float> p);
SEQUELA_KERNEL sequela_cast_bf16_bf16(CastParams<bf16, bf16> p);

template <typename A, typename B>
struct AddParams {
  RowWork work;
  Rows<const A> a;
  Rows<const B> b;
  Rows<A> out;
};
SEQUELA_KERNEL sequela_add_f32_f32(AddParams<float, float> p);
SEQUELA_KERNEL sequela_add_f32_bf16(AddParams<float, bf16> p);
SEQUELA_KERNEL sequela_add_bf16_f32(AddParams<bf16, float> p);
SEQUELA_KERNEL sequela_add_bf16_bf16(AddParams<bf16, bf16> p);

// A matrix of any type as one of 2-byte elements.
struct FillZeroParams {
  RowWork work;
  Rows<bf16> x;
};
SEQUELA_KERNEL sequela_fill_zero(FillZeroParams p);

}  // namespace sequela::cuda
