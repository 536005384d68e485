// The end of the decoder: the final norm, the output projection and the loss.
#pragma once

#include "trainer/model/decoder_pass.h"
#include "trainer/model/parameter_pieces.h"

namespace sequela {

// shared().final_normed = norm(residual + shared().branch).
void FinalNormForward(DecoderPass& pass, const DecoderPieces& pieces, ConstTensorView residual);

// Each row's loss from shared().final_normed into shared().nll; adds the head's and the final
// norm's gradients and leaves that of the residual stream in shared().d_residual.
void LossForwardBackward(DecoderPass& pass, const DecoderPieces& pieces);

// What each row's target got. `options` as in Decoder::Evaluate.
TokenScores ScoreTargets(DecoderPass& pass, const DecoderPieces& pieces,
                         const EvaluateOptions& options);

}  // namespace sequela
