#include "trainer/evaluation/ngram.h"

#include <algorithm>
#include <array>
#include <bit>

#include "kernels/base/check.h"
#include "trainer/evaluation/ngram/count_table.h"

namespace sequela {
namespace {

constexpr int kBuckets = 15;     // contexts never seen, seen once, 2-3, 4-7, ...
constexpr int kIterations = 60;  // of expectation maximisation; it has settled long before
constexpr double kMaxWeight = 0.9999;
constexpr std::size_t kMaxTuningTargets = 4'000'000;

using Weights = std::array<double, kBuckets>;

int BucketOf(std::int64_t count) {
  return std::min(static_cast<int>(std::bit_width(static_cast<std::uint64_t>(count))),
                  kBuckets - 1);
}

// One tuning target: the higher order's estimate, the lower one's, and the context's bucket.
struct Mixture {
  double high = 0.0;
  double low = 0.0;
  int bucket = 0;
};

// The weights that maximise the product of w high + (1 - w) low, by bucket.
Weights FitWeights(const std::vector<Mixture>& mixtures) {
  Weights weights;
  weights.fill(0.5);
  weights[0] = 0.0;
  for (int iteration = 0; iteration < kIterations; ++iteration) {
    Weights responsibility{};
    Weights number{};
    for (const Mixture& m : mixtures) {
      const auto b = static_cast<std::size_t>(m.bucket);
      const double high = weights[b] * m.high;
      responsibility[b] += high / (high + (1.0 - weights[b]) * m.low);
      number[b] += 1.0;
    }
    for (std::size_t b = 1; b < kBuckets; ++b) {
      if (number[b] > 0) weights[b] = std::min(responsibility[b] / number[b], kMaxWeight);
    }
  }
  return weights;
}

double Mix(const Weights& weights, const Mixture& m) {
  const double weight = weights[static_cast<std::size_t>(m.bucket)];
  return weight * m.high + (1.0 - weight) * m.low;
}

double Ratio(std::int64_t part, std::int64_t whole) {
  return whole == 0 ? 0.0 : static_cast<double>(part) / static_cast<double>(whole);
}

}  // namespace

struct NgramModel::Impl {
  std::uint64_t base = 0;  // num_symbols + 1: the last stands for "before the beginning"
  std::int32_t num_target_symbols = 0;
  std::int64_t num_counted = 0;
  std::vector<std::int64_t> unigram;
  CountTable context1, bigram, context2, trigram;
  Weights weight2{}, weight3{}, weight_copy{};

  struct Keys {
    std::uint64_t context1, bigram, context2, trigram;
  };
  Keys KeysAt(const SymbolSequence& s, std::int64_t place) const {
    const auto symbol = [&](std::int64_t i) {
      return i < 0 ? base - 1 : static_cast<std::uint64_t>(s.symbol[static_cast<std::size_t>(i)]);
    };
    const std::uint64_t a = symbol(place - 1);
    const std::uint64_t ba = symbol(place - 2) * base + a;
    return {a, a * base + symbol(place), ba, ba * base + symbol(place)};
  }

  void Count(const SymbolSequence& s) {
    for (std::size_t i = 0; i < s.symbol.size(); ++i) {
      if (s.is_target[i] == 0) continue;
      const Keys keys = KeysAt(s, static_cast<std::int64_t>(i));
      ++num_counted;
      ++unigram[static_cast<std::size_t>(s.symbol[i])];
      context1.Add(keys.context1);
      bigram.Add(keys.bigram);
      context2.Add(keys.context2);
      trigram.Add(keys.trigram);
    }
  }

  double Unigram(std::int32_t symbol) const {
    return static_cast<double>(unigram[static_cast<std::size_t>(symbol)] + 1) /
           static_cast<double>(num_counted + num_target_symbols);
  }
  Mixture BigramMixture(const Keys& keys, double low) const {
    const std::int64_t seen = context1.Count(keys.context1);
    return {Ratio(bigram.Count(keys.bigram), seen), low, BucketOf(seen)};
  }
  Mixture TrigramMixture(const Keys& keys, double low) const {
    const std::int64_t seen = context2.Count(keys.context2);
    return {Ratio(trigram.Count(keys.trigram), seen), low, BucketOf(seen)};
  }
  static Mixture CopyMixture(const SymbolSequence& s, std::size_t place, double low) {
    return {s.last[place] == s.symbol[place] ? 1.0 : 0.0, low, s.last[place] < 0 ? 0 : 1};
  }

  void FitOn(const SequenceSource& tuning) {
    std::vector<Mixture> for2, for_copy;
    std::vector<Keys> keys;
    tuning([&](const SymbolSequence& s) {
      for (std::size_t i = 0; i < s.symbol.size() && keys.size() < kMaxTuningTargets; ++i) {
        if (s.is_target[i] == 0) continue;
        keys.push_back(KeysAt(s, static_cast<std::int64_t>(i)));
        const double low = Unigram(s.symbol[i]);
        for2.push_back(BigramMixture(keys.back(), low));
        for_copy.push_back(CopyMixture(s, i, low));
      }
    });
    weight2 = FitWeights(for2);
    weight_copy = FitWeights(for_copy);
    std::vector<Mixture> for3;
    for (std::size_t i = 0; i < keys.size(); ++i) {
      for3.push_back(TrigramMixture(keys[i], Mix(weight2, for2[i])));
    }
    weight3 = FitWeights(for3);
  }
};

NgramModel::NgramModel(std::int32_t num_symbols, std::int32_t num_target_symbols,
                       const SequenceSource& counted, const SequenceSource& tuning)
    : impl_(std::make_unique<Impl>()) {
  SEQUELA_CHECK(num_symbols < (1 << 20), "{} symbols: trigrams do not fit 64 bits", num_symbols);
  impl_->base = static_cast<std::uint64_t>(num_symbols) + 1;
  impl_->num_target_symbols = num_target_symbols;
  impl_->unigram.resize(static_cast<std::size_t>(num_symbols));
  counted([this](const SymbolSequence& s) { impl_->Count(s); });
  for (CountTable* table : {&impl_->context1, &impl_->bigram, &impl_->context2, &impl_->trigram}) {
    table->Finish();
  }
  impl_->FitOn(tuning);
}

NgramModel::~NgramModel() = default;
NgramModel::NgramModel(NgramModel&&) noexcept = default;

NgramProbabilities NgramModel::At(const SymbolSequence& sequence, std::int64_t place) const {
  const auto i = static_cast<std::size_t>(place);
  SEQUELA_CHECK(sequence.is_target[i] != 0);
  const Impl::Keys keys = impl_->KeysAt(sequence, place);
  NgramProbabilities p;
  p.unigram = impl_->Unigram(sequence.symbol[i]);
  p.bigram = Mix(impl_->weight2, impl_->BigramMixture(keys, p.unigram));
  p.trigram = Mix(impl_->weight3, impl_->TrigramMixture(keys, p.bigram));
  p.copy_last = Mix(impl_->weight_copy, Impl::CopyMixture(sequence, i, p.unigram));
  return p;
}

}  // namespace sequela
