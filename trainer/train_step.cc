#include "trainer/train_step.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>

#include "kernels/base/errors.h"

namespace sequela {
namespace {

// "samples 4, 17, 23" for messages: the windows' indices in the sample table.
std::string SamplesOf(std::span<const std::int64_t> samples) {
  constexpr std::size_t kShown = 32;
  const auto shown = samples.first(std::min(samples.size(), kShown));
  return fmt::format("samples {}{}", fmt::join(shown, ", "),
                     samples.size() > kShown ? ", ..." : "");
}

std::string SamplesOf(std::span<const Batch> batches) {
  std::vector<std::int64_t> samples;
  for (const Batch& batch : batches) {
    samples.insert(samples.end(), batch.sample.begin(), batch.sample.end());
  }
  return SamplesOf(samples);
}

void CheckFiniteLoss(const BatchLoss& loss, const Batch& batch, int rank, std::int64_t step) {
  if (loss.non_finite_row < 0) return;
  const auto next = std::upper_bound(batch.document_begin.begin(), batch.document_begin.end(),
                                     static_cast<std::int32_t>(loss.non_finite_row));
  const auto document = static_cast<std::size_t>(next - batch.document_begin.begin() - 1);
  throw MachineError(
      "the loss is not finite: rank {}, step {}, sample {}, position {}. No weight was changed in "
      "this step; a lower learning rate or stronger clipping may help, from the last checkpoint",
      rank, step, batch.sample[document],
      batch.position[static_cast<std::size_t>(loss.non_finite_row)]);
}

struct LocalSums {
  double loss = 0.0;
  double weight = 0.0;
  std::int64_t targets = 0;
  std::int64_t tokens = 0;
};

// Gradients leave during the last microbatch alone: the earlier ones only add to them.
PassHooks HooksOf(TrainState& state, bool is_last) {
  if (!is_last) return {};
  return {.piece_complete = [&state](int piece) { state.buckets().MarkReady(piece); },
          .after_operation = [&state](const char*) { state.buckets().Poll(); }};
}

LocalSums AccumulateGradients(TrainState& state, const TrainStepInput& input) {
  LocalSums sums;
  state.buffers().ZeroGradients();
  const std::size_t count = input.microbatches.size();
  for (std::size_t i = 0; i < count; ++i) {
    const Batch& batch = input.microbatches[i];
    const bool is_last = i + 1 == count;
    if (is_last) state.buckets().Begin(input.step);
    const BatchLoss loss = state.decoder().ForwardBackward(
        state.buffers(), batch,
        {.seed = input.seed, .step = static_cast<std::uint64_t>(input.step)},
        HooksOf(state, is_last));
    CheckFiniteLoss(loss, batch, state.communicator().rank(), input.step);
    sums.loss += loss.loss_sum;
    sums.weight += loss.weight_sum;
    sums.targets += loss.targets;
    sums.tokens += batch.num_tokens();
  }
  if (count == 0) state.buckets().Begin(input.step);
  return sums;
}

LocalSums AccumulateOrName(TrainState& state, const TrainStepInput& input) {
  try {
    return AccumulateGradients(state, input);
  } catch (const NonFiniteGradient& error) {
    throw MachineError("{} ({})", error.what(), SamplesOf(input.microbatches));
  }
}

// Adds over the ranks what the report needs.
void FillReport(Communicator& communicator, const LocalSums& local, TrainStepResult& result) {
  double loss_sum = local.loss;
  std::array<std::int64_t, 2> counts = {local.targets, local.tokens};
  communicator.AllReduceSum(std::span<double>(&loss_sum, 1));
  communicator.AllReduceSum(counts);
  result.loss = result.target_weight > 0.0 ? loss_sum / result.target_weight : 0.0;
  result.targets = counts[0];
  result.tokens = counts[1];
}

}  // namespace

TrainStepResult TrainStep(TrainState& state, const TrainStepInput& input) {
  TrainStepResult result;
  const LocalSums local = AccumulateOrName(state, input);
  result.target_weight = state.buckets().Finish(local.weight);
  FillReport(state.communicator(), local, result);
  const UpdateResult update =
      state.optimizer().Update({.num_threads = state.options().decoder.num_threads},
                               input.learning_rate, result.target_weight);
  result.gradient_norm = update.gradient_norm;
  result.skipped = update.skipped;
  result.communication_wait_seconds =
      state.buckets().communication_wait_seconds() + state.optimizer().communication_wait_seconds();
  return result;
}

}  // namespace sequela
