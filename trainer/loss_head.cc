#include "trainer/loss_head.h"

#include <cmath>

#include "kernels/cross_entropy.h"
#include "trainer/decoder_block.h"

namespace sequela {
namespace {

// Row by row in fp64: the sum hardly depends on the order of the documents.
BatchLoss SumLoss(const Batch& batch, std::span<const float> nll) {
  BatchLoss loss;
  for (std::size_t row = 0; row < nll.size(); ++row) {
    if (batch.target[row] == Batch::kNoTarget) continue;
    const auto weight = static_cast<double>(batch.weight[row]);
    loss.loss_sum += weight * static_cast<double>(nll[row]);
    loss.weight_sum += weight;
    loss.targets += 1;
    if (!std::isfinite(nll[row]) && loss.non_finite_row < 0) {
      loss.non_finite_row = static_cast<std::int64_t>(row);
    }
  }
  return loss;
}

}  // namespace

void FinalNormForward(DecoderPass& pass, const DecoderPieces& pieces, ConstTensorView residual) {
  SharedActivations& shared = pass.shared();
  ResidualNorm(pass, pieces.final_norm, residual, shared.branch, shared.final_entry,
               shared.final_rstd, shared.final_normed);
}

BatchLoss LossForwardBackward(DecoderPass& pass, const DecoderPieces& pieces) {
  SharedActivations& shared = pass.shared();
  CrossEntropy(pass.exec, {.hidden_TD = shared.final_normed,
                           .weight_VD = pass.buffers.Weight(pieces.head.first),
                           .target = pass.batch.target,
                           .loss_weight = pass.batch.weight,
                           .nll = FloatsOf(shared.nll),
                           .dhidden_TD = shared.d_normed,
                           .dweight_VD = pass.buffers.Gradient(pieces.head.first)});
  pass.Done("head and loss");
  ResidualNormBackward(pass, pieces.final_norm, shared.final_entry, shared.final_rstd,
                       /*add_to_residual=*/false);
  pass.CompleteThrough(pieces.final_norm);
  return SumLoss(pass.batch, FloatsOf(shared.nll));
}

TokenScores ScoreTargets(DecoderPass& pass, const DecoderPieces& pieces,
                         const EvaluateOptions& options) {
  const std::size_t rows = pass.batch.token.size();
  TokenScores scores;
  scores.nll.resize(rows);
  scores.rank.resize(rows);
  if (!options.log_class_weight.empty()) scores.corrected_nll.resize(rows);
  if (!options.group_of_token.empty()) scores.group_nll.resize(rows);
  CrossEntropyEvaluate(pass.exec, {.hidden_TD = pass.shared().final_normed,
                                   .weight_VD = pass.buffers.Weight(pieces.head.first),
                                   .target = pass.batch.target,
                                   .log_class_weight = options.log_class_weight,
                                   .group_of_token = options.group_of_token,
                                   .nll = scores.nll,
                                   .corrected_nll = scores.corrected_nll,
                                   .group_nll = scores.group_nll,
                                   .rank = scores.rank});
  pass.Done("head and loss");
  return scores;
}

}  // namespace sequela
