// One block of the decoder, forward and backward:
//   entry  = residual + branch                    (for the first block: the embedding)
//   middle = entry + dropout(o(attention(rope(qkv(norm(entry))))))
//   branch = dropout(down(swiglu(gate_up(norm(middle)))))      added by whoever comes next
// The sums are made by the norm that reads them, in one pass over memory.
#pragma once

#include "kernels/base/tensor_view.h"
#include "trainer/model/decoder_pass.h"
#include "trainer/model/parameter_pieces.h"

namespace sequela {

// `residual`: the residual stream so far, to which shared().branch is added; empty for the first
// block, whose entry holds the embedding already. Leaves its output in shared().branch and
// activations.blocks[layer].middle.
void BlockForward(DecoderPass& pass, const BlockPieces& pieces, int layer,
                  ConstTensorView residual);

// Turns shared().d_residual from the gradient of the block's result (middle + branch) into that of
// its entry, and adds the parameters' gradients. Makes again what the recompute level did not keep.
void BlockBackward(DecoderPass& pass, const BlockPieces& pieces, int layer);

// RMSNorm of residual + branch. `sum` holds the sum afterwards. With an empty residual the norm is
// of `sum` as it stands, and `branch` is not read.
void ResidualNorm(DecoderPass& pass, int gain, ConstTensorView residual, ConstTensorView branch,
                  TensorView sum, TensorView rstd, TensorView normed);
// d_residual += the norm's gradient, from shared().d_normed.
void ResidualNormBackward(DecoderPass& pass, int gain, ConstTensorView sum, TensorView rstd,
                          bool add_to_residual);

// Dropout of what joins the residual stream; `site` names the place. out may be x.
void BranchDropout(DecoderPass& pass, std::uint64_t site, ConstTensorView x, TensorView out);

}  // namespace sequela
