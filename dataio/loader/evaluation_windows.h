// Batches for evaluation: every target of a split exactly once, each with at least half the context
// length of its chain before it where the chain has it.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "dataio/loader/batch.h"
#include "dataio/loader/window_table.h"
#include "dataio/store/chain_store.h"

namespace sequela {

struct EvaluationOptions {
  Split split = Split::kHeldOut;
  std::int64_t context_length = 512;
  std::int64_t microbatch_tokens = 8192;  // >= context_length
  std::int64_t max_windows = 0;           // 0: all; else this many, drawn evenly by a fixed order
};

struct EvaluationBatch {
  Batch batch;                        // weights are 1 for targets and 0 for context
  std::vector<std::int64_t> subject;  // [D] index in the store
  // [T] where the target of this position stands in its chain, and how many tokens of the chain
  // before it the window shows; -1 and 0 where there is no target of weight.
  std::vector<std::int64_t> chain_index;
  std::vector<std::int32_t> context_tokens;
};

// One thread at a time. Borrows the store.
class EvaluationWindows {
 public:
  // Throws InputError where the split has no targets.
  EvaluationWindows(const ChainStore& store, const EvaluationOptions& options);

  std::int64_t num_batches() const;
  // REQUIRES: 0 <= index < num_batches().
  EvaluationBatch Load(std::int64_t index) const;
  // Of the whole split, whatever max_windows.
  const WindowAccount& account() const { return table_.account(); }

 private:
  EvaluationOptions options_;
  WindowTable table_;
  std::vector<std::vector<std::int64_t>> batches_;  // windows of each batch
};

}  // namespace sequela
