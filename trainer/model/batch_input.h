// What a pass needs of a batch: the plans that its operations share, the rotary tables and, on a
// device, copies of all that operations read. Copies are made from pinned memory on the side
// stream, in two turns: while the device computes one batch, the host prepares the next.
#pragma once

#include <cstdint>
#include <optional>

#include "dataio/loader/batch.h"
#include "kernels/attention_plan.h"
#include "kernels/cross_entropy.h"
#include "kernels/embedding.h"
#include "kernels/time_rope.h"
#include "runtime/device.h"
#include "runtime/staging.h"
#include "trainer/model/activations.h"
#include "trainer/model/batch_view.h"

namespace sequela {

// One thread at a time.
class BatchInput {
 public:
  // Room for the batches that `options` allow. Borrows the device.
  BatchInput(const ModelConfig& config, const DecoderOptions& options, Device& device);

  // Prepares `batch` for the operations that are enqueued until the next call; the CPU reads the
  // batch itself, which must live as long. Its tables go to rope_cos and rope_sin, [T, H / 2] fp32:
  // on the CPU into the memory that these views name, elsewhere they are pointed to the copies.
  void Prepare(const Batch& batch, TensorView& rope_cos, TensorView& rope_sin);
  // The operations of the prepared batch are enqueued: its copies are theirs until the device has
  // come so far.
  void Release();

  const BatchView& view() const { return view_; }
  const AttentionPlan& attention_plan() const { return attention_plan_; }
  const EmbeddingPlan& embedding_plan() const { return embedding_plan_; }
  const CrossEntropyPlan& head_plan() const { return head_plan_; }

 private:
  std::int64_t StagingBytes() const;
  void Stage(const Batch& batch, TensorView& rope_cos, TensorView& rope_sin);

  Device& device_;
  std::int64_t max_tokens_;
  Exec host_exec_;  // the device waits for what is computed here
  std::int64_t vocab_size_;
  bool with_backward_;
  TimeRopeSettings rope_;
  AttentionPlan attention_plan_;
  EmbeddingPlan embedding_plan_;
  CrossEntropyPlan head_plan_;
  BatchView view_;
  std::optional<Staging> staging_;  // not on the CPU
  int slot_ = 0;                    // of the batch at hand
};

}  // namespace sequela
