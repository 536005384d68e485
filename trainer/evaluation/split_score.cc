#include "trainer/evaluation/split_score.h"

#include <vector>

namespace sequela {
namespace {

enum Column : std::size_t { kTargets, kEvents, kNll, kTop1, kNumColumns };

void AddBatch(const ChainStore& store, const EvaluationBatch& input, const TokenScores& scores,
              std::span<double> sums) {
  const std::vector<float>& nll = scores.corrected_nll.empty() ? scores.nll : scores.corrected_nll;
  for (std::size_t d = 0; d < input.subject.size(); ++d) {
    const ChainView chain = store.chain(input.subject[d]);
    const auto begin = static_cast<std::size_t>(input.batch.document_begin[d]);
    const auto end = static_cast<std::size_t>(input.batch.document_begin[d + 1]);
    for (std::size_t t = begin; t < end; ++t) {
      if (input.chain_index[t] < 0) continue;
      const bool is_event = chain.code[static_cast<std::size_t>(input.chain_index[t])] != kNoCode;
      sums[kTargets] += 1.0;
      sums[kEvents] += is_event ? 1.0 : 0.0;
      sums[kNll] += nll[t];
      sums[kTop1] += scores.rank[t] == 0 ? 1.0 : 0.0;
    }
  }
}

}  // namespace

bool SplitHasTargets(const ChainStore& store, Split split) {
  const Vocabulary& vocabulary = store.vocabulary();
  for (std::int64_t subject = 0; subject < store.num_subjects(); ++subject) {
    if (store.split(subject) != split) continue;
    const ChainView chain = store.chain(subject);
    for (std::int64_t i = 0; i < chain.size(); ++i) {
      if (IsTarget(vocabulary[chain.token(i)])) return true;
    }
  }
  return false;
}

SplitScore ScoreSplit(Decoder& decoder, FlatBuffers& buffers, Communicator& communicator,
                      const ChainStore& store, const EvaluationWindows& windows,
                      std::span<const float> log_weights) {
  const std::int64_t batches = windows.num_batches();
  std::vector<double> sums(static_cast<std::size_t>(batches) * kNumColumns, 0.0);
  for (std::int64_t k = communicator.rank(); k < batches; k += communicator.size()) {
    const EvaluationBatch input = windows.Load(k);
    const TokenScores scores = decoder.Evaluate(
        buffers, input.batch, {.log_class_weight = log_weights, .group_of_token = {}});
    AddBatch(store, input, scores,
             std::span(sums).subspan(static_cast<std::size_t>(k) * kNumColumns, kNumColumns));
  }
  communicator.AllReduceSum(std::span<double>(sums));
  double total[kNumColumns] = {};
  for (std::size_t i = 0; i < sums.size(); ++i) total[i % kNumColumns] += sums[i];
  return {static_cast<std::int64_t>(total[kTargets]), static_cast<std::int64_t>(total[kEvents]),
          total[kNll] / total[kTargets], total[kNll] / total[kEvents],
          total[kTop1] / total[kTargets]};
}

}  // namespace sequela
