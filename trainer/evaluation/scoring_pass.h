// One pass of a decoder over the targets of a split. Tuning while training goes on, `evaluate` and
// every metric of a model read their scores here, so that they cannot differ.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "dataio/loader/evaluation_windows.h"
#include "dataio/store/chain_store.h"
#include "runtime/communicator.h"
#include "runtime/parameter_table.h"
#include "trainer/model/decoder.h"

namespace sequela {

// The subjects of one split: row r of any table by subject belongs to index[r].
struct SplitSubjects {
  SplitSubjects(const ChainStore& store, Split split);
  std::int64_t size() const { return static_cast<std::int64_t>(index.size()); }

  std::vector<std::int64_t> index;   // [rows] index in the store
  std::vector<std::int64_t> row_of;  // [store's subjects] row; -1 in other splits
};

// One target as the model scored it. NLL are natural logarithms.
struct ScoredTarget {
  const ChainView& chain;
  std::int64_t position;        // in the chain
  std::int64_t context_tokens;  // of the chain, that the window shows before it
  double nll;                   // of the token, corrected for the class weights of training
  double uncorrected_nll;       // likewise, as the loss of training has it
  double group_nll;             // of all tokens of its group together; 0 without groups
  std::int32_t target_rank;     // how many tokens are likelier

  bool is_event() const { return chain.code[static_cast<std::size_t>(position)] != kNoCode; }
  std::int32_t token() const { return chain.token(position); }
};

// What a pass is read by.
class TargetVisitor {
 public:
  virtual ~TargetVisitor() = default;
  // A window of this subject (index in the store) begins; its targets follow.
  virtual void BeginWindow(std::int64_t /*subject*/, const ChainView& /*chain*/) {}
  virtual void Add(const ScoredTarget& target) = 0;
  // After the last target of a batch.
  virtual void EndBatch(const EvaluationBatch& /*batch*/) {}
};

// Scores every target of `windows`, which are the same on every rank: this rank takes batches rank,
// rank + ranks, ... `options`: class weights and groups, as for Decoder::Evaluate. Uses the
// decoder's arena: no forward pass of a training step may be under way. Does not communicate.
void ScoreTargets(Decoder& decoder, FlatBuffers& buffers, const Communicator& communicator,
                  const ChainStore& store, const EvaluationWindows& windows,
                  const EvaluateOptions& options, TargetVisitor& visitor);

}  // namespace sequela
