#include "trainer/training/train_step.h"

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

// The part of the sums that the host knows without the device.
void AddBatch(const Batch& batch, LocalSums& sums) {
  for (std::size_t row = 0; row < batch.target.size(); ++row) {
    if (batch.target[row] == Batch::kNoTarget) continue;
    sums.weight += static_cast<double>(batch.weight[row]);
    sums.targets += 1;
  }
  sums.tokens += batch.num_tokens();
}

// Takes the losses of these microbatches; waits for the device.
void AddLosses(TrainState& state, const TrainStepInput& input, std::span<const Batch> batches,
               LocalSums& sums) {
  for (const Batch& batch : batches) {
    const BatchLoss loss = state.decoder().TakeLoss();
    CheckFiniteLoss(loss, batch, state.communicator().rank(), input.step);
    sums.loss += loss.loss_sum;
  }
}

PassHooks HooksOf(TrainState& state) {
  return {.piece_complete = [&state](int piece) { state.buckets().MarkReady(piece); },
          .after_operation = [&state](const char*) { state.buckets().Poll(); }};
}

// On the CPU the loss is there at once, and a fault is named before gradients leave. On a GPU the
// whole step is enqueued first.
void AddMicrobatch(TrainState& state, const TrainStepInput& input, const Batch& batch,
                   LocalSums& sums) {
  state.decoder().StartForwardBackward(
      state.buffers(), batch, {.seed = input.seed, .step = static_cast<std::uint64_t>(input.step)},
      HooksOf(state));
  AddBatch(batch, sums);
  if (state.device().is_host()) AddLosses(state, input, {&batch, 1}, sums);
}

LocalSums AccumulateGradients(TrainState& state, const TrainStepInput& input) {
  LocalSums sums;
  const auto count = std::ssize(input.microbatches);
  const std::int64_t rounds = state.buckets().Begin(input.step, count);
  for (std::int64_t i = 0; i < rounds; ++i) {
    if (i < count) {
      AddMicrobatch(state, input, input.microbatches[static_cast<std::size_t>(i)], sums);
    }
    state.buckets().EndMicrobatch();
  }
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
  LocalSums local = AccumulateOrName(state, input);
  result.target_weight = state.buckets().Finish(local.weight);
  if (!state.device().is_host()) AddLosses(state, input, input.microbatches, local);
  FillReport(state.communicator(), local, result);
  const UpdateResult update =
      state.optimizer().Update(ExecOn(state.device(), state.options().decoder.num_threads),
                               input.learning_rate, result.target_weight);
  result.gradient_norm = update.gradient_norm;
  result.skipped = update.skipped;
  result.communication_wait_seconds =
      state.buckets().communication_wait_seconds() + state.optimizer().communication_wait_seconds();
  return result;
}

}  // namespace sequela
