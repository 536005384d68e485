// Training batches from a chain store: the same global batches for any number of ranks.
//
// Rows are windows (window_table.h) in the order of SampleOrder, epoch after epoch; row r is index
// r mod N of epoch r / N. A step takes rows from the state's on, at least one, as long as their
// tokens stay within global_batch_tokens (across the end of an epoch, too: every step is full). Its
// windows are dealt to ranks by cost and packed into micro-batches (packer.h). The row number is
// the whole state.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "dataio/loader/batch.h"
#include "dataio/loader/window_table.h"
#include "dataio/store/chain_store.h"

namespace sequela {

struct LoaderState {
  std::int64_t row = 0;  // rows taken since the beginning of training, over all epochs and ranks

  bool operator==(const LoaderState&) const = default;
};

struct LoaderOptions {
  // These change results.
  Split split = Split::kTrain;
  std::int64_t context_length = 512;
  std::int64_t context_overlap = 0;
  std::int64_t global_batch_tokens = 8192;
  std::uint64_t seed = 1;
  bool shuffle = true;
  std::vector<float> token_weight;  // [V] loss weight by target token (BalanceWeights); empty: 1
  // These do not, up to the order of sums.
  std::int64_t microbatch_tokens = 8192;  // >= context_length
  std::int64_t rank = 0;
  std::int64_t num_ranks = 1;
  // The window length at which attention costs as much as the rest of the model: about 6 x the
  // hidden size for a decoder. Balances ranks, no more.
  double quadratic_length = 4096;
  int prefetch_steps = 2;  // prepared ahead by a thread; 0: no thread
};

// What this rank computes in one optimizer step, and facts about the whole of it.
struct StepInput {
  std::vector<Batch> microbatches;  // at least one; it is empty where this rank has no window
  LoaderState next_state;           // the state after this step
  std::int64_t global_windows = 0;  // over all ranks
  std::int64_t global_tokens = 0;
  double wait_seconds = 0;  // that Next() waited for it
};

// One thread at a time; the prefetch thread is its own affair. Borrows the store.
class BatchLoader {
 public:
  // Throws InputError where the split has no targets, or the options do not fit each other or the
  // split's size.
  BatchLoader(const ChainStore& store, const LoaderOptions& options, LoaderState start = {});
  ~BatchLoader();
  BatchLoader(const BatchLoader&) = delete;
  BatchLoader& operator=(const BatchLoader&) = delete;

  // The next step's input. Never ends. Throws what preparing it threw.
  StepInput Next();
  // The state after the last step that Next() returned (or the start).
  LoaderState state() const;

  std::int64_t windows_per_epoch() const;
  // What an epoch consists of and what it leaves out.
  const WindowAccount& account() const;
  // The number of steps, from row 0, after which `epochs` epochs are finished. Packs every window on
  // the way: throws InputError for more than 1000 epochs of more than 1e8 windows together.
  std::int64_t StepsForEpochs(double epochs) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sequela
