#include "trainer/evaluation/scoring_pass.h"

namespace sequela {
namespace {

void VisitBatch(const ChainStore& store, const EvaluationBatch& input, const TokenScores& scores,
                TargetVisitor& visitor) {
  const std::vector<float>& nll = scores.corrected_nll.empty() ? scores.nll : scores.corrected_nll;
  for (std::size_t d = 0; d < input.subject.size(); ++d) {
    const ChainView chain = store.chain(input.subject[d]);
    visitor.BeginWindow(input.subject[d], chain);
    const auto end = static_cast<std::size_t>(input.batch.document_begin[d + 1]);
    for (auto t = static_cast<std::size_t>(input.batch.document_begin[d]); t < end; ++t) {
      if (input.chain_index[t] < 0) continue;
      visitor.Add({.chain = chain,
                   .position = input.chain_index[t],
                   .context_tokens = input.context_tokens[t],
                   .nll = nll[t],
                   .uncorrected_nll = scores.nll[t],
                   .group_nll = scores.group_nll.empty() ? 0.0F : scores.group_nll[t],
                   .target_rank = scores.rank[t]});
    }
  }
  visitor.EndBatch(input);
}

}  // namespace

SplitSubjects::SplitSubjects(const ChainStore& store, Split split)
    : row_of(static_cast<std::size_t>(store.num_subjects()), -1) {
  for (std::int64_t i = 0; i < store.num_subjects(); ++i) {
    if (store.split(i) != split) continue;
    row_of[static_cast<std::size_t>(i)] = size();
    index.push_back(i);
  }
}

void ScoreTargets(Decoder& decoder, FlatBuffers& buffers, const Communicator& communicator,
                  const ChainStore& store, const EvaluationWindows& windows,
                  const EvaluateOptions& options, TargetVisitor& visitor) {
  for (std::int64_t k = communicator.rank(); k < windows.num_batches(); k += communicator.size()) {
    const EvaluationBatch input = windows.Load(k);
    VisitBatch(store, input, decoder.Evaluate(buffers, input.batch, options), visitor);
  }
}

}  // namespace sequela
