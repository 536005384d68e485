// ctest: labels=sanitize timeout=60
// n-gram baselines: a case worked out by hand, and a brute-force reference with std::map that
// follows the formulas of the header literally.
#include "trainer/evaluation/ngram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "kernels/base/philox.h"

namespace sequela {
namespace {

SymbolSequence Sequence(std::vector<std::int32_t> symbols, std::size_t context = 0) {
  SymbolSequence s;
  s.symbol = std::move(symbols);
  for (std::size_t i = 0; i < s.symbol.size(); ++i) {
    s.is_target.push_back(i >= context ? 1 : 0);
    s.last.push_back(i == 0 ? -1 : s.symbol[i - 1]);
  }
  return s;
}

SequenceSource SourceOf(std::vector<SymbolSequence> sequences) {
  return [sequences](const SequenceVisitor& visit) {
    for (const SymbolSequence& s : sequences) visit(s);
  };
}

TEST(Ngram, AgreesWithACaseWorkedOutByHand) {
  // Counted: 0 1 0 1 0 2. Tuning "0 1": after 0, c(0 1) / c(0) = 2 / 3; unigram(1) = 3 / 9.
  const NgramModel model(3, 3, SourceOf({Sequence({0, 1, 0, 1, 0, 2})}),
                         SourceOf({Sequence({0, 1}, 1)}));
  const NgramProbabilities p = model.At(Sequence({0, 2}), 1);
  EXPECT_DOUBLE_EQ(p.unigram, (1 + 1) / 9.0);
  // One tuning target that the bigram predicts better: its weight goes to the cap.
  EXPECT_NEAR(p.bigram, 0.9999 * (1 / 3.0) + 0.0001 * (2 / 9.0), 2e-3);
  // A context never seen leaves the unigram.
  EXPECT_DOUBLE_EQ(model.At(Sequence({2, 1}), 1).bigram, model.At(Sequence({2, 1}), 1).unigram);
  // What is not repeated where the tuning never repeats keeps the unigram.
  EXPECT_NEAR(p.copy_last, p.unigram, 1e-6);
}

// Everything in maps; weights by 60 rounds of expectation maximisation as well.
class BruteForce {
 public:
  BruteForce(std::int32_t num_symbols, const std::vector<SymbolSequence>& counted,
             const std::vector<SymbolSequence>& tuning)
      : num_symbols_(num_symbols) {
    for (const auto& s : counted) {
      for (std::size_t i = 0; i < s.symbol.size(); ++i) {
        if (s.is_target[i] == 0) continue;
        for (int order = 0; order <= 2; ++order) {
          ++grams_[Gram(s, i, order, true)];
          ++contexts_[Gram(s, i, order, false)];
        }
      }
    }
    for (int order = 1; order <= 2; ++order) Fit(tuning, order);
  }

  double Probability(const SymbolSequence& s, std::size_t i, int order) {
    if (order == 0) {
      return (grams_[Gram(s, i, 0, true)] + 1.0) / (contexts_[Gram(s, i, 0, false)] + num_symbols_);
    }
    const double seen = contexts_[Gram(s, i, order, false)];
    const double high = seen > 0 ? grams_[Gram(s, i, order, true)] / seen : 0.0;
    const double w = seen > 0 ? weights_[{order, Bucket(seen)}] : 0.0;
    return w * high + (1 - w) * Probability(s, i, order - 1);
  }

 private:
  using Key = std::vector<std::int32_t>;
  static Key Gram(const SymbolSequence& s, std::size_t i, int order, bool with_target) {
    Key key{order};
    for (int back = order; back >= 1; --back) {
      key.push_back(static_cast<int>(i) - back < 0 ? -1
                                                   : s.symbol[i - static_cast<std::size_t>(back)]);
    }
    if (with_target) key.push_back(s.symbol[i]);
    return key;
  }
  static int Bucket(double count) {
    return std::min(static_cast<int>(std::floor(std::log2(count))) + 1, 14);
  }
  void Fit(const std::vector<SymbolSequence>& tuning, int order) {
    for (int b = 0; b <= 14; ++b) weights_[{order, b}] = 0.5;
    for (int round = 0; round < 60; ++round) {
      std::map<int, double> part, number;
      for (const auto& s : tuning) {
        for (std::size_t i = 0; i < s.symbol.size(); ++i) {
          const double seen = contexts_[Gram(s, i, order, false)];
          if (s.is_target[i] == 0 || seen == 0) continue;
          const double w = weights_[{order, Bucket(seen)}];
          const double high = w * grams_[Gram(s, i, order, true)] / seen;
          part[Bucket(seen)] += high / (high + (1 - w) * Probability(s, i, order - 1));
          number[Bucket(seen)] += 1;
        }
      }
      for (const auto& [b, n] : number) weights_[{order, b}] = std::min(part[b] / n, 0.9999);
    }
  }

  double num_symbols_;
  std::map<Key, double> grams_, contexts_;
  std::map<std::pair<int, int>, double> weights_;
};

// A chain in which a symbol tends to follow from the two before it.
std::vector<SymbolSequence> RandomSequences(std::uint64_t seed, int count) {
  std::vector<SymbolSequence> sequences;
  for (int n = 0; n < count; ++n) {
    PhiloxStream random(seed, HashName("test"), static_cast<std::uint64_t>(n));
    std::vector<std::int32_t> symbols{0, 1};
    const auto length = static_cast<std::size_t>(3 + random.NextWord() % 60);
    while (symbols.size() < length) {
      const std::int32_t expected = (symbols[symbols.size() - 1] + symbols[symbols.size() - 2]) % 7;
      symbols.push_back(
          random.NextUniform() < 0.6 ? expected : static_cast<std::int32_t>(random.NextWord() % 7));
    }
    sequences.push_back(Sequence(std::move(symbols), 1));
  }
  return sequences;
}

TEST(Ngram, AgreesWithBruteForce) {
  const auto counted = RandomSequences(1, 40);
  const auto tuning = RandomSequences(2, 10);
  const NgramModel model(7, 7, SourceOf(counted), SourceOf(tuning));
  BruteForce reference(7, counted, tuning);
  for (const SymbolSequence& s : RandomSequences(3, 5)) {
    for (std::size_t i = 1; i < s.symbol.size(); ++i) {
      const NgramProbabilities p = model.At(s, static_cast<std::int64_t>(i));
      EXPECT_NEAR(p.unigram, reference.Probability(s, i, 0), 1e-12);
      EXPECT_NEAR(p.bigram, reference.Probability(s, i, 1), 1e-12);
      EXPECT_NEAR(p.trigram, reference.Probability(s, i, 2), 1e-12);
    }
  }
}

TEST(Ngram, ProbabilitiesOfAllSymbolsAddUpToOne) {
  const NgramModel model(7, 7, SourceOf(RandomSequences(1, 40)), SourceOf(RandomSequences(2, 10)));
  NgramProbabilities sum;
  for (std::int32_t w = 0; w < 7; ++w) {
    const NgramProbabilities p = model.At(Sequence({3, 4, w}), 2);
    sum.unigram += p.unigram;
    sum.bigram += p.bigram;
    sum.trigram += p.trigram;
    sum.copy_last += p.copy_last;
  }
  EXPECT_NEAR(sum.unigram, 1.0, 1e-12);
  EXPECT_NEAR(sum.bigram, 1.0, 1e-12);
  EXPECT_NEAR(sum.trigram, 1.0, 1e-12);
  EXPECT_NEAR(sum.copy_last, 1.0, 1e-12);
}

// Symbols that repeat the one before with probability `stay` and are uniform otherwise.
std::vector<SymbolSequence> StickySequences(std::uint64_t seed, double stay, int num_symbols) {
  PhiloxStream random(seed, HashName("test/ngram/sticky"), 0);
  std::vector<std::int32_t> symbols = {0};
  for (int i = 0; i < 200'000; ++i) {
    const auto fresh = static_cast<std::int32_t>(random.NextWord() % num_symbols);
    symbols.push_back(random.NextUniform() < stay ? symbols.back() : fresh);
  }
  return {Sequence(std::move(symbols), 1)};
}

double MeanCopyNll(const NgramModel& model, const std::vector<SymbolSequence>& sequences) {
  double nll = 0.0, targets = 0.0;
  for (const SymbolSequence& s : sequences) {
    for (std::size_t i = 1; i < s.symbol.size(); ++i, ++targets) {
      nll -= std::log(model.At(s, static_cast<std::int64_t>(i)).copy_last);
    }
  }
  return nll / targets;
}

// Where a source repeats itself, copy-last is that source: its NLL is the source's entropy,
//   -(s + (1 - s) / V) ln(s + (1 - s) / V) - (V - 1) / V (1 - s) ln((1 - s) / V).
// Where it repeats itself less often than the unigram expects, the best weight is 0.
TEST(Ngram, CopyLastFindsHowOftenASourceRepeatsItself) {
  constexpr int kSymbols = 20;
  for (const double stay : {0.3, 0.05}) {
    const NgramModel model(kSymbols, kSymbols, SourceOf(StickySequences(1, stay, kSymbols)),
                           SourceOf(StickySequences(2, stay, kSymbols)));
    const double other = (1.0 - stay) / kSymbols;
    const double repeat = stay + other;
    const double entropy = -repeat * std::log(repeat) - (kSymbols - 1) * other * std::log(other);
    // The mean of 200,000 logarithms, each within ln V of the entropy: 4 standard errors.
    EXPECT_NEAR(MeanCopyNll(model, StickySequences(3, stay, kSymbols)), entropy,
                4 * std::log(kSymbols) / std::sqrt(200'000.0));
    EXPECT_LT(entropy, std::log(kSymbols) - 1e-3);
  }
  std::vector<std::int32_t> never;
  for (int i = 0; i < 5000; ++i) never.push_back(i % 7);
  const NgramModel model(7, 7, SourceOf({Sequence(never)}), SourceOf({Sequence(never)}));
  const NgramProbabilities p = model.At(Sequence({2, 3}), 1);
  EXPECT_NEAR(p.copy_last, p.unigram, 1e-12);
}

}  // namespace
}  // namespace sequela
