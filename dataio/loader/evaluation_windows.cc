#include "dataio/loader/evaluation_windows.h"

#include <algorithm>

#include "dataio/loader/packer.h"
#include "dataio/loader/sample_order.h"
#include "kernels/base/check.h"
#include "kernels/base/errors.h"

namespace sequela {
namespace {

// The same windows in every evaluation of every run.
constexpr std::uint64_t kSubsetSeed = 20;

// Indices of the windows to evaluate, ascending.
std::vector<std::int64_t> ChosenWindows(std::int64_t size, std::int64_t max_windows) {
  const bool all = max_windows <= 0 || max_windows >= size;
  const SampleOrder order(size, kSubsetSeed, 0, !all);
  std::vector<std::int64_t> chosen;
  for (std::int64_t i = 0; i < (all ? size : max_windows); ++i) chosen.push_back(order.At(i));
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

}  // namespace

EvaluationWindows::EvaluationWindows(const ChainStore& store, const EvaluationOptions& options)
    : options_(options),
      table_(store, {.split = options.split,
                     .context_length = options.context_length,
                     .context_overlap = options.context_length / 2}) {
  if (options.microbatch_tokens < options.context_length) {
    throw InputError(
        "parallel.microbatch_tokens: found {}, expected at least {}, "
        "data.context_length",
        options.microbatch_tokens, options.context_length);
  }
  const std::vector<std::int64_t> chosen = ChosenWindows(table_.size(), options.max_windows);
  std::int64_t tokens = 0;
  for (const std::int64_t window : chosen) {
    const std::int64_t length = table_[window].length;
    if (batches_.empty() || tokens + length > options.microbatch_tokens) {
      batches_.emplace_back();
      tokens = 0;
    }
    batches_.back().push_back(window);
    tokens += length;
  }
}

std::int64_t EvaluationWindows::num_batches() const {
  return static_cast<std::int64_t>(batches_.size());
}

EvaluationBatch EvaluationWindows::Load(std::int64_t index) const {
  EvaluationBatch result;
  for (const std::int64_t window_index : batches_[static_cast<std::size_t>(index)]) {
    const Window& window = table_[window_index];
    const std::size_t begin = result.batch.token.size();
    table_.AppendTo(window_index, {}, &result.batch);
    result.subject.push_back(window.subject);
    result.chain_index.resize(result.batch.token.size(), -1);
    result.context_tokens.resize(result.batch.token.size(), 0);
    const std::int64_t head = table_.HeadLength(window_index);
    for (std::size_t i = begin; i < result.batch.token.size(); ++i) {
      if (result.batch.target[i] == Batch::kNoTarget) continue;
      const std::int64_t shown = static_cast<std::int64_t>(i - begin) + 1 - head;
      result.chain_index[i] = window.context_begin + shown;
      result.context_tokens[i] = static_cast<std::int32_t>(shown);
    }
  }
  return result;
}

}  // namespace sequela
