// The end of the decoder: the final norm, the output projection and the loss.
#pragma once

#include "trainer/decoder_pass.h"
#include "trainer/parameter_pieces.h"

namespace sequela {

// shared().final_normed = norm(residual + shared().branch).
void FinalNormForward(DecoderPass& pass, const DecoderPieces& pieces, ConstTensorView residual);

// Loss of the batch from shared().final_normed; adds the head's and the final norm's gradients and
// leaves that of the residual stream in shared().d_residual.
BatchLoss LossForwardBackward(DecoderPass& pass, const DecoderPieces& pieces);

// What each row's target got. `options` as in Decoder::Evaluate.
TokenScores ScoreTargets(DecoderPass& pass, const DecoderPieces& pieces,
                         const EvaluateOptions& options);

}  // namespace sequela
