#include "trainer/model/loss_reader.h"

#include <cmath>

#include "kernels/base/check.h"

namespace sequela {

void LossReader::Add(const Batch& batch, ConstTensorView nll) {
  SEQUELA_CHECK(batch.num_tokens() <= max_tokens_ && nll.rows == batch.num_tokens());
  if (free_slots_.empty()) {
    free_slots_.push_back(slots_.size());
    slots_.push_back(
        {Buffer::Pinned(max_tokens_ * SizeOf(DType::kFloat32), device_), Event(device_)});
  }
  const std::size_t index = free_slots_.back();
  free_slots_.pop_back();
  Slot& slot = slots_[index];
  if (nll.rows > 0) device_.Copy(slot.nll.data(), nll.data, nll.rows * SizeOf(DType::kFloat32));
  slot.copied.Record(device_.compute_stream());
  pending_.push_back({&batch, index});
}

BatchLoss LossReader::Take() {
  SEQUELA_CHECK(!pending_.empty());
  const Pending oldest = pending_.front();
  pending_.pop_front();
  Slot& slot = slots_[oldest.slot];
  slot.copied.Wait();
  free_slots_.push_back(oldest.slot);
  return SumLoss(*oldest.batch,
                 slot.nll.As<float>().first(static_cast<std::size_t>(oldest.batch->num_tokens())));
}

BatchLoss SumLoss(const Batch& batch, std::span<const float> nll) {
  BatchLoss loss;
  for (std::size_t row = 0; row < nll.size(); ++row) {
    if (batch.target[row] == Batch::kNoTarget) continue;
    loss.loss_sum += static_cast<double>(batch.weight[row]) * static_cast<double>(nll[row]);
    if (!std::isfinite(nll[row]) && loss.non_finite_row < 0) {
      loss.non_finite_row = static_cast<std::int64_t>(row);
    }
  }
  return loss;
}

}  // namespace sequela
