#include "trainer/model/loss_head.h"

#include <utility>

#include "kernels/cross_entropy.h"
#include "runtime/buffer.h"
#include "trainer/model/decoder_block.h"

namespace sequela {
namespace {

// Arrays of evaluation: one on the device for the operation to read or write, one on the host. On
// the CPU both are the same memory.
class Mirror {
 public:
  explicit Mirror(Device& device) : device_(device) {}

  template <typename T>
  std::span<const T> ToDevice(std::span<const T> host) {
    if (device_.is_host() || host.empty()) return host;
    T* const memory = Allocate<T>(host.size());
    device_.Copy(memory, host.data(), static_cast<std::int64_t>(host.size_bytes()));
    return {memory, host.size()};
  }
  // Room for `host`, which Finish() fills.
  template <typename T>
  std::span<T> ForResult(std::vector<T>& host) {
    if (device_.is_host() || host.empty()) return host;
    T* const memory = Allocate<T>(host.size());
    results_.push_back({host.data(), memory, static_cast<std::int64_t>(host.size() * sizeof(T))});
    return {memory, host.size()};
  }
  void Finish() {
    for (const Result& result : results_) device_.Copy(result.host, result.device, result.bytes);
    device_.Synchronize();
  }

 private:
  struct Result {
    void* host;
    const void* device;
    std::int64_t bytes;
  };
  template <typename T>
  T* Allocate(std::size_t count) {
    buffers_.emplace_back(static_cast<std::int64_t>(count * sizeof(T)), device_);
    return reinterpret_cast<T*>(buffers_.back().data());
  }

  Device& device_;
  std::vector<Buffer> buffers_;
  std::vector<Result> results_;
};

}  // namespace

void FinalNormForward(DecoderPass& pass, const DecoderPieces& pieces, ConstTensorView residual) {
  SharedActivations& shared = pass.shared();
  ResidualNorm(pass, pieces.final_norm, residual, shared.branch, shared.final_entry,
               shared.final_rstd, shared.final_normed);
}

void LossForwardBackward(DecoderPass& pass, const DecoderPieces& pieces) {
  SharedActivations& shared = pass.shared();
  CrossEntropy(pass.exec, {.hidden_TD = shared.final_normed,
                           .weight_VD = pass.buffers.Weight(pieces.head.first),
                           .target = pass.batch.target,
                           .loss_weight = pass.batch.weight,
                           .nll = FloatsOf(shared.nll),
                           .dhidden_TD = shared.d_normed,
                           .dweight_VD = pass.buffers.Gradient(pieces.head.first),
                           .plan = &pass.head_plan,
                           .plan_image = pass.batch.head_plan});
  pass.Done("head and loss");
  ResidualNormBackward(pass, pieces.final_norm, shared.final_entry, shared.final_rstd,
                       /*add_to_residual=*/false);
  pass.CompleteThrough(pieces.final_norm);
}

TokenScores ScoreTargets(DecoderPass& pass, const DecoderPieces& pieces,
                         const EvaluateOptions& options) {
  const std::size_t rows = pass.batch.token.size();
  TokenScores scores;
  scores.nll.resize(rows);
  scores.rank.resize(rows);
  if (!options.log_class_weight.empty()) scores.corrected_nll.resize(rows);
  if (!options.group_of_token.empty()) scores.group_nll.resize(rows);
  Mirror mirror(pass.device);
  CrossEntropyEvaluate(pass.exec, {.hidden_TD = pass.shared().final_normed,
                                   .weight_VD = pass.buffers.Weight(pieces.head.first),
                                   .target = pass.batch.target,
                                   .log_class_weight = mirror.ToDevice(options.log_class_weight),
                                   .group_of_token = mirror.ToDevice(options.group_of_token),
                                   .nll = mirror.ForResult(scores.nll),
                                   .corrected_nll = mirror.ForResult(scores.corrected_nll),
                                   .group_nll = mirror.ForResult(scores.group_nll),
                                   .rank = mirror.ForResult(scores.rank),
                                   .plan = &pass.head_plan,
                                   .plan_image = pass.batch.head_plan});
  mirror.Finish();
  pass.Done("head and loss");
  return scores;
}

}  // namespace sequela
