// How the chains of one split are cut into windows.
//
// A window is a head and a slice of its chain:
//   [BOS] [the subject's static tokens] [AGE at the slice's first token] | context | fresh tokens
// Fresh tokens of target kind (IsTarget) are targets; the head and the context before them are
// only seen. The first token of a slice is predicted from the head's last. The fresh parts of a
// chain's windows follow one another without gap or overlap, so that every target stands in exactly
// one window. Cuts fall between events: the tokens of one event (gap, code, value) stay together.
// AGE is left out where birth is not recorded or the vocabulary has no ages.
#pragma once

#include <cstdint>
#include <vector>

#include "dataio/loader/batch.h"
#include "dataio/store/chain_store.h"

namespace sequela {

struct Window {
  std::int64_t subject = 0;        // index in the store
  std::int32_t context_begin = 0;  // first token of the slice, as an index in the chain
  std::int32_t fresh_begin = 0;    // [context_begin, fresh_begin) is context
  std::int32_t end = 0;            // one past the last fresh token
  std::int32_t length = 0;         // tokens of head and slice
  std::int32_t num_targets = 0;
  std::int32_t num_events = 0;  // targets that are the first token of an event (/chain/code set)
};

// What a table holds and what it leaves out: one epoch's account.
struct WindowAccount {
  std::int64_t subjects = 0;  // with at least one window
  std::int64_t windows = 0;
  std::int64_t tokens = 0;  // of all windows: heads, context and fresh tokens
  std::int64_t targets = 0;
  std::int64_t events = 0;
  std::int64_t context_tokens = 0;  // shown again without loss
  // Left out, and why:
  std::int64_t subjects_without_targets = 0;  // only static facts
  std::int64_t static_tokens_left_out = 0;    // heads take at most a quarter of context_length
  std::int64_t events_cut_apart = 0;          // longer than what a window holds
};

struct WindowOptions {
  Split split = Split::kTrain;
  std::int64_t context_length = 512;  // tokens of a window, head included
  std::int64_t context_overlap = 0;   // context before the fresh tokens, where the chain has it
};

// Immutable once built; safe for concurrent reads. Borrows the store.
class WindowTable {
 public:
  // Reads all chains of the split once. Throws InputError where the options leave no room for
  // events, or a chain holds tokens that the vocabulary lacks.
  WindowTable(const ChainStore& store, const WindowOptions& options);

  std::int64_t size() const { return static_cast<std::int64_t>(windows_.size()); }
  const Window& operator[](std::int64_t index) const {
    return windows_[static_cast<std::size_t>(index)];
  }
  const WindowAccount& account() const { return account_; }
  const WindowOptions& options() const { return options_; }

  // Appends a window to a batch as one document. `token_weight` is the loss weight of each token as
  // a target ([V]; empty: 1). The document's sample is `index`.
  void AppendTo(std::int64_t index, const std::vector<float>& token_weight, Batch* batch) const;
  // The number of head tokens of a window; token context_begin + k of the chain is token
  // HeadLength + k of the document.
  std::int64_t HeadLength(std::int64_t index) const {
    const Window& window = (*this)[index];
    return window.length - (window.end - window.context_begin);
  }

 private:
  struct Cutter;
  const ChainStore* store_;
  WindowOptions options_;
  std::vector<Window> windows_;
  WindowAccount account_;
};

}  // namespace sequela
