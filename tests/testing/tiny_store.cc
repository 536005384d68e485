#include "tests/testing/tiny_store.h"

#include <fmt/format.h>

#include <cmath>

#include "kernels/base/atomic_file.h"
#include "kernels/base/int_math.h"
#include "kernels/base/philox.h"

namespace sequela::testing {
namespace {

constexpr std::int64_t kSecond = 1'000'000;
constexpr std::int64_t kDay = 86'400;
constexpr std::int64_t kYear = 31'557'600;
constexpr std::int64_t kForever = std::numeric_limits<std::int64_t>::max();

// Tokens whose intervals begin at `lower`, each up to the next.
void AddIntervals(TokenKind kind, const std::string& prefix, const std::vector<std::int64_t>& lower,
                  std::vector<TokenEntry>* tokens) {
  for (std::size_t i = 0; i < lower.size(); ++i) {
    const std::int64_t upper = i + 1 < lower.size() ? lower[i + 1] : kForever;
    tokens->push_back({.text = prefix + std::to_string(lower[i]),
                       .kind = kind,
                       .train_count = 7,
                       .lower_seconds = lower[i],
                       .upper_seconds = upper});
    if (kind == TokenKind::kGap && upper != kForever) {
      const auto low = static_cast<double>(lower[i]);
      const auto high = static_cast<double>(upper);
      for (int k = 0; k <= 8; ++k) {
        tokens->back().gap_quantiles_seconds.push_back(low + (high - low) * k / 8);
      }
    }
  }
}

std::vector<CodeEntry> TinyCodes(const Vocabulary& vocabulary) {
  std::vector<CodeEntry> codes;
  for (std::int32_t i = 0; i < vocabulary.size(); ++i) {
    const TokenEntry& token = vocabulary[i];
    if (token.kind != TokenKind::kCode && token.kind != TokenKind::kStatic) continue;
    codes.push_back({.code = token.code,
                     .description = "made-up " + token.code,
                     .parent_codes = {"TINY"},
                     .train_events = token.train_count,
                     .train_subjects = 1,
                     .token = i});
  }
  return codes;
}

std::uint32_t CodeIndex(const Vocabulary& vocabulary, const std::string& code) {
  const std::vector<CodeEntry> codes = TinyCodes(vocabulary);
  for (std::size_t i = 0; i < codes.size(); ++i) {
    if (codes[i].code == code) return static_cast<std::uint32_t>(i);
  }
  return kNoCode;
}

Split SplitOf(int subject) {
  const int place = subject % 10;
  return place < 7 ? Split::kTrain : place < 8 ? Split::kTuning : Split::kHeldOut;
}

TinyChain RandomChain(const Vocabulary& vocabulary, int subject, const TinyStoreOptions& options) {
  PhiloxStream random(options.seed, HashName("tiny store"), static_cast<std::uint64_t>(subject));
  const auto below = [&](std::int64_t n) {
    return static_cast<std::int64_t>(random.NextUniform() * static_cast<double>(n));
  };
  TinyChain chain(&vocabulary, 1000 + subject, SplitOf(subject));
  chain.Static(below(2) == 0 ? "SEX//F" : "SEX//M");
  std::int64_t time_us = (below(30 * kYear) - 10 * kYear) * kSecond;
  if (subject % 4 != 3) chain.Birth(time_us);
  time_us += below(60 * kYear) * kSecond;
  const std::int64_t events =
      options.shortest_events + below(options.longest_events - options.shortest_events + 1);
  std::int64_t number = below(options.num_codes);
  for (std::int64_t i = 0; i < events; ++i) {
    if (below(3) != 0) {
      const double days = std::exp(8.0 * random.NextUniform() - 3.0);
      time_us += (1 + static_cast<std::int64_t>(days * kDay)) * kSecond;
    }
    const bool follows = options.learnable && below(4) != 0;
    number = (follows ? number + 1 : below(options.num_codes)) % options.num_codes;
    chain.Event(time_us, static_cast<int>(number), static_cast<float>(random.NextNormal()));
  }
  return chain.End();
}

}  // namespace

Vocabulary TinyVocabulary(int num_codes) {
  std::vector<TokenEntry> tokens;
  for (const char* text : {"[BOS]", "[END]", "[UNK]"}) tokens.push_back({.text = text});
  for (const char* text : {"MEDS_BIRTH", "SEX//F", "SEX//M"}) {
    tokens.push_back({.text = text, .kind = TokenKind::kStatic, .train_count = 5, .code = text});
  }
  AddIntervals(TokenKind::kAge, "AGE//", {0, 20 * kYear, 40 * kYear, 60 * kYear, 80 * kYear},
               &tokens);
  AddIntervals(TokenKind::kGap, "GAP//", {0, 3600, kDay, 30 * kDay, kYear}, &tokens);
  for (int i = 0; i < num_codes; ++i) {
    const std::string text = fmt::format("CODE//{}", i);
    tokens.push_back(
        {.text = text, .kind = TokenKind::kCode, .train_count = 10 + i * i, .code = text});
  }
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  tokens.push_back({.text = "=low",
                    .kind = TokenKind::kValue,
                    .train_count = 3,
                    .bin_lower = -kInfinity,
                    .bin_upper = 0.0F});
  tokens.push_back({.text = "=high",
                    .kind = TokenKind::kValue,
                    .train_count = 4,
                    .bin_lower = 0.0F,
                    .bin_upper = kInfinity});
  return Vocabulary(std::move(tokens));
}

TinyChain::TinyChain(const Vocabulary* vocabulary, std::int64_t id, Split split_in)
    : subject_id(id), split(split_in), vocabulary_(vocabulary) {}

TinyChain& TinyChain::Add(const std::string& text, std::int64_t time, std::uint32_t code_index,
                          float raw_value) {
  const std::int32_t found = vocabulary_->Find(text);
  SEQUELA_CHECK(found != Vocabulary::kNone, "no token {}", text);
  token.push_back(static_cast<std::uint32_t>(found));
  time_us.push_back(time);
  code.push_back(code_index);
  value.push_back(raw_value);
  return *this;
}

TinyChain& TinyChain::Static(const std::string& text) {
  return Add(text, kStaticTime, CodeIndex(*vocabulary_, text), std::nanf(""));
}

TinyChain& TinyChain::Birth(std::int64_t time) {
  return Add("MEDS_BIRTH", time, CodeIndex(*vocabulary_, "MEDS_BIRTH"), std::nanf(""));
}

TinyChain& TinyChain::Event(std::int64_t time, int number, float raw_value) {
  const bool first = last_time_us_ == kStaticTime;
  if (!first && time > last_time_us_) {
    const std::int32_t gap = vocabulary_->GapToken((time - last_time_us_) / kSecond);
    Add((*vocabulary_)[gap].text, time, kNoCode, std::nanf(""));
  }
  last_time_us_ = time;
  const std::string text = fmt::format("CODE//{}", number);
  const bool has_value = number % 2 == 1;
  Add(text, time, CodeIndex(*vocabulary_, text), has_value ? raw_value : std::nanf(""));
  if (has_value) Add(raw_value <= 0 ? "=low" : "=high", time, kNoCode, std::nanf(""));
  return *this;
}

TinyChain& TinyChain::End() { return Add("[END]", last_time_us_, kNoCode, std::nanf("")); }

void TinyChain::AppendTo(ChainShardWriter* writer) const {
  writer->Append(subject_id, split, token, time_us, code, value);
}

void WriteTinyStore(const std::filesystem::path& folder, const TinyStoreOptions& options) {
  const Vocabulary vocabulary = TinyVocabulary(options.num_codes);
  std::vector<TinyChain> chains;
  for (int i = 0; i < options.subjects; ++i) {
    chains.push_back(RandomChain(vocabulary, i, options));
  }
  WriteTinyStore(folder, vocabulary, chains, options.shards);
}

void WriteTinyStore(const std::filesystem::path& folder, const Vocabulary& vocabulary,
                    const std::vector<TinyChain>& chains, int shards) {
  PartialFolder partial(folder);
  std::vector<ShardSummary> summaries;
  const std::size_t per_shard = static_cast<std::size_t>(
      CeilDiv(static_cast<std::int64_t>(chains.size()), std::int64_t{shards}));
  for (int shard = 0; shard < shards; ++shard) {
    const std::size_t begin = std::min(chains.size(), static_cast<std::size_t>(shard) * per_shard);
    const std::size_t end = std::min(chains.size(), begin + per_shard);
    ShardCounts counts{.subjects = static_cast<std::int64_t>(end - begin)};
    for (std::size_t i = begin; i < end; ++i) counts.tokens += chains[i].size();
    ChainShardWriter writer(partial.folder() / ShardFileName(shard, shards), counts,
                            vocabulary.size(), vocabulary.hash());
    for (std::size_t i = begin; i < end; ++i) chains[i].AppendTo(&writer);
    summaries.push_back(writer.Finish());
  }
  WriteStoreMetadata(partial.folder(), {.vocabulary = vocabulary,
                                        .codes = TinyCodes(vocabulary),
                                        .shards = summaries,
                                        .settings_json = R"({"made_by": "tiny_store"})",
                                        .source_json = R"({"dataset_name": "tiny"})",
                                        .simulation_json = ""});
  partial.Commit();
}

}  // namespace sequela::testing
