// What operations read of a batch, where they can read it: in the batch itself on the CPU, in the
// device's memory elsewhere (trainer/model/batch_input.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "dataio/loader/batch.h"

namespace sequela {

// Borrowed; shapes as in dataio/loader/batch.h. The images are null on the CPU, where operations
// read the plans themselves.
struct BatchView {
  std::span<const std::int32_t> token;           // [T]
  std::span<const std::int32_t> target;          // [T]
  std::span<const float> weight;                 // [T]
  std::span<const std::int32_t> position;        // [T]
  std::span<const std::int32_t> document_begin;  // [D + 1]
  std::span<const std::int64_t> sample;          // [D]
  const std::byte* attention_plan = nullptr;     // image of the AttentionPlan
  const std::byte* embedding_plan = nullptr;     // image of the EmbeddingPlan
  const std::byte* head_plan = nullptr;          // image of the CrossEntropyPlan
};

inline BatchView ViewOf(const Batch& batch) {
  return {.token = batch.token,
          .target = batch.target,
          .weight = batch.weight,
          .position = batch.position,
          .document_begin = batch.document_begin,
          .sample = batch.sample};
}

}  // namespace sequela
