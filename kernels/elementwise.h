// Casts, sums and fills of matrices [T, C], rows at any stride. Arithmetic in fp32; bf16 is rounded
// to nearest, ties to even.
#pragma once

#include "kernels/base/tensor_view.h"
#include "kernels/exec.h"

namespace sequela {

struct CastArgs {
  ConstTensorView from;  // fp32 or bf16
  TensorView to;         // fp32 or bf16, the same or the other; written in full
};
void Cast(const Exec& exec, const CastArgs& args);

// out = a + b.
struct AddArgs {
  ConstTensorView a;  // fp32 or bf16
  ConstTensorView b;  // fp32 or bf16
  TensorView out;  // a's dtype; written in full; may be a's memory, and b's where the dtypes agree
};
void Add(const Exec& exec, const AddArgs& args);

// x = 0.
struct FillZeroArgs {
  TensorView x;  // any dtype; written in full
};
void FillZero(const Exec& exec, const FillZeroArgs& args);

}  // namespace sequela
