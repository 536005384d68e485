// Interpolated n-gram models over sequences of symbols: what counting alone can predict.
//
// For a target w after a (and b before it), with counts c from the counted sequences
//   unigram(w)      = (c(w) + 1) / (N + V)
//   bigram(w|a)     = l2 c(a w) / c(a)     + (1 - l2) unigram(w)
//   trigram(w|b a)  = l3 c(b a w) / c(b a) + (1 - l3) bigram(w|a)
//   copy-last(w)    = lc [w == last]       + (1 - lc) unigram(w)
// (deleted interpolation: Jelinek and Mercer 1980). l2 and l3 depend on how often the context was
// counted, by powers of two, and are 0 for a context never seen; all weights are fitted by
// expectation maximisation on sequences that were not counted.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace sequela {

// Symbols in order, and which of them are predicted; the others are context only. `last` is what
// copy-last predicts at each place, -1 for nothing.
struct SymbolSequence {
  std::vector<std::int32_t> symbol;
  std::vector<std::uint8_t> is_target;
  std::vector<std::int32_t> last;
};

// Calls the visitor once for each sequence; the reference is valid during the call only.
using SequenceVisitor = std::function<void(const SymbolSequence&)>;
using SequenceSource = std::function<void(const SequenceVisitor&)>;

struct NgramProbabilities {
  double unigram = 0.0;
  double bigram = 0.0;
  double trigram = 0.0;
  double copy_last = 0.0;
};

// Immutable after construction; safe for concurrent use.
class NgramModel {
 public:
  // Symbols are in [0, num_symbols); `num_target_symbols` (V) of them can be targets. Memory grows
  // with the number of distinct trigrams. REQUIRES: num_symbols < 2^20.
  NgramModel(std::int32_t num_symbols, std::int32_t num_target_symbols,
             const SequenceSource& counted, const SequenceSource& tuning);
  ~NgramModel();
  NgramModel(NgramModel&&) noexcept;

  // Of the symbol at `place`. REQUIRES: it is a target.
  NgramProbabilities At(const SymbolSequence& sequence, std::int64_t place) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sequela
