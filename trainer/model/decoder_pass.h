// What the operations of one forward and backward pass over a batch share.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/attention_plan.h"
#include "kernels/cross_entropy.h"
#include "kernels/exec.h"
#include "runtime/device.h"
#include "runtime/parameter_table.h"
#include "trainer/model/activations.h"
#include "trainer/model/batch_view.h"
#include "trainer/model/decoder.h"

namespace sequela {

// Borrows everything. One thread at a time.
struct DecoderPass {
  const Exec& exec;
  const ModelConfig& config;
  FlatBuffers& buffers;
  Device& device;
  BatchView batch;
  const AttentionPlan& attention_plan;
  const CrossEntropyPlan& head_plan;
  Activations& activations;  // of the batch's tokens
  const PassHooks& hooks;
  Recompute recompute = Recompute::kNone;
  bool with_dropout = false;  // in training, where the rates are not 0
  DropoutKeys dropout;
  int next_piece = 0;  // the first whose gradient is not complete

  SharedActivations& shared() const { return activations.shared; }

  // After every operation.
  void Done(const char* operation) const {
    if (hooks.after_operation) hooks.after_operation(operation);
  }
  // All pieces up to this one have their gradients.
  void CompleteThrough(int piece) {
    for (; next_piece <= piece; ++next_piece) {
      if (hooks.piece_complete) hooks.piece_complete(next_piece);
    }
  }
};

// The values of a matrix that is used as a plain array: norm gains, rstd, nll.
inline std::span<float> FloatsOf(const TensorView& view) {
  return {view.As<float>(), static_cast<std::size_t>(view.rows * view.columns)};
}

}  // namespace sequela
