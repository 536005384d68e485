// The decoder as a textbook has it: one document at a time, one row at a time, every matrix written
// out. In fp64 it is the truth; in fp32 with a rounding after every operation it is the honest
// low-precision implementation that ours is held against (tests/testing/tolerance.h).
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "dataio/loader/batch.h"
#include "runtime/parameter_table.h"
#include "tests/reference/matrix.h"
#include "trainer/model/model_config.h"

namespace sequela::reference {

// Values of every parameter under its Hugging Face name.
template <typename Real>
using Parameters = std::map<std::string, Matrix<Real>>;

// The weights of a model as the decoder sees them (rounded to its compute dtype).
Parameters<double> ParametersOf(FlatBuffers& buffers);

template <typename Real>
struct DecoderReference {
  ModelConfig config;
  Parameters<Real> parameters;
  // What storing an activation leaves of it; empty: all of it.
  std::function<Real(Real)> store;

  Matrix<Real> Logits(const Batch& batch) const;    // [T, vocab_size]
  std::vector<Real> Nll(const Batch& batch) const;  // [T], 0 without target
  Real Loss(const Batch& batch) const;              // sum of weight * nll
};

extern template struct DecoderReference<double>;
extern template struct DecoderReference<float>;

}  // namespace sequela::reference
