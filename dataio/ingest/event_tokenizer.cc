#include "dataio/ingest/event_tokenizer.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <unordered_map>

#include "dataio/ingest/fitting/clean_events.h"
#include "dataio/ingest/fitting/fallbacks.h"

namespace sequela {
namespace {

constexpr std::int64_t kSecondUs = 1'000'000;
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

std::optional<std::uint32_t> PlaceOf(const std::vector<std::string>& sorted,
                                     const std::string& text) {
  const auto found = std::lower_bound(sorted.begin(), sorted.end(), text);
  if (found == sorted.end() || *found != text) return std::nullopt;
  return static_cast<std::uint32_t>(found - sorted.begin());
}

using FallbackTokens = std::unordered_map<std::string, std::int32_t>;

std::int32_t FirstKnown(const std::vector<Fallback>& candidates, const FallbackTokens& tokens,
                        std::int32_t otherwise) {
  for (const Fallback& candidate : candidates) {
    const auto found = tokens.find(candidate.text);
    if (found != tokens.end()) return found->second;
  }
  return otherwise;
}

}  // namespace

void EncodedChain::Clear() {
  token.clear();
  time_us.clear();
  code.clear();
  value.clear();
  extra.clear();
}

Tokenizer::Tokenizer(const Vocabulary& vocabulary, const std::vector<std::string>& codes,
                     const std::vector<std::vector<std::string>>& parents,
                     const std::vector<std::string>& texts, const std::vector<CodeRule>& rules,
                     const IngestSettings& settings)
    : vocabulary_(vocabulary), rules_(rules), codes_(codes.size()) {
  ReadSharedValues(texts);
  FallbackTokens timed_fallbacks;
  FallbackTokens static_fallbacks;
  for (std::int32_t token = 0; token < vocabulary.size(); ++token) {
    const TokenEntry& entry = vocabulary[token];
    if (entry.is_fallback) {
      (entry.kind == TokenKind::kStatic ? static_fallbacks : timed_fallbacks)[entry.text] = token;
      continue;
    }
    const auto code = PlaceOf(codes, entry.code);
    if (!code) continue;
    ReadCode(entry, token, *code, texts);
  }
  const FallbackRules fallbacks(settings);
  for (std::size_t i = 0; i < codes.size(); ++i) {
    if (codes_[i].plain == Vocabulary::kNone) {
      codes_[i].plain =
          FirstKnown(fallbacks.Of(codes[i], parents[i]), timed_fallbacks, vocabulary.unk());
    }
    if (codes_[i].fact == Vocabulary::kNone) {
      codes_[i].fact =
          FirstKnown(fallbacks.OfStatic(codes[i]), static_fallbacks, Vocabulary::kNone);
    }
  }
}

// A token that stands for this code, or for a result of it.
void Tokenizer::ReadCode(const TokenEntry& entry, std::int32_t token, std::uint32_t code,
                         const std::vector<std::string>& texts) {
  CodeTokens& tokens = codes_[code];
  const auto add_bin = [&](float upper, std::int32_t bin_token) {
    if (tokens.num_bins++ == 0) tokens.first_bin = static_cast<std::uint32_t>(bins_.size());
    bins_.push_back({upper, bin_token});
  };
  if (entry.kind == TokenKind::kCode) {
    tokens.plain = token;
    tokens.is_own = true;
    if (entry.value_edges.empty()) return;
    for (std::size_t i = 0; i < entry.value_edges.size(); ++i) {
      add_bin(entry.value_edges[i], bin_tokens_[i + 1]);
    }
    add_bin(std::numeric_limits<float>::infinity(), bin_tokens_[entry.value_edges.size() + 1]);
  } else if (entry.kind == TokenKind::kStatic) {
    tokens.fact = token;
  } else if (entry.kind == TokenKind::kValue && entry.has_numeric_bin()) {
    add_bin(entry.bin_upper, token);
  } else if (entry.kind == TokenKind::kValue && entry.text_result == "OTHER") {
    tokens.other_text = token;
  } else if (entry.kind == TokenKind::kValue) {
    const auto text = PlaceOf(texts, entry.text_result);
    if (text) {
      text_tokens_.Add(static_cast<std::uint64_t>(code) << 32 | *text,
                       static_cast<std::uint64_t>(token) + 1);
    }
  }
}

void Tokenizer::ReadSharedValues(const std::vector<std::string>& texts) {
  shared_text_tokens_.assign(texts.size(), Vocabulary::kNone);
  for (std::int32_t token = 0; token < vocabulary_.size(); ++token) {
    const TokenEntry& entry = vocabulary_[token];
    if (entry.kind != TokenKind::kValue || !entry.code.empty()) continue;
    is_separate_ = true;
    if (entry.bin_number > 0) {
      const auto number = static_cast<std::size_t>(entry.bin_number);
      if (bin_tokens_.size() <= number) bin_tokens_.resize(number + 1, Vocabulary::kNone);
      bin_tokens_[number] = token;
    } else if (entry.text_result == "OTHER") {
      shared_other_text_ = token;
    } else if (const auto text = PlaceOf(texts, entry.text_result)) {
      shared_text_tokens_[*text] = token;
    }
  }
}

std::int32_t Tokenizer::ResultOf(const CleanEvent& event) const {
  const CodeTokens& tokens = codes_[event.code];
  if (event.value == event.value) {
    if (tokens.num_bins == 0 || !IsPlausible(rules_[event.code], event.value)) {
      return Vocabulary::kNone;
    }
    const Bin* begin = bins_.data() + tokens.first_bin;
    const Bin* end = begin + tokens.num_bins;
    // The last bin's upper edge is +infinity.
    return std::lower_bound(begin, end, event.value,
                            [](const Bin& bin, float value) { return bin.upper < value; })
        ->token;
  }
  if (event.text == kNoText) return Vocabulary::kNone;
  if (is_separate_) {
    const bool is_known =
        event.text != kFreeText && shared_text_tokens_[event.text] != Vocabulary::kNone;
    return is_known ? shared_text_tokens_[event.text] : shared_other_text_;
  }
  if (event.text != kFreeText) {
    const std::uint64_t found =
        text_tokens_.Get(static_cast<std::uint64_t>(event.code) << 32 | event.text);
    if (found != 0) return static_cast<std::int32_t>(found - 1);
  }
  return tokens.other_text;
}

Tokenizer::EventTokens Tokenizer::TokensOf(const CleanEvent& event) const {
  const CodeTokens& tokens = codes_[event.code];
  if (is_separate_) {
    return {tokens.plain, tokens.is_own ? ResultOf(event) : Vocabulary::kNone};
  }
  const std::int32_t result = ResultOf(event);
  return {result != Vocabulary::kNone ? result : tokens.plain, Vocabulary::kNone};
}

void Tokenizer::Encode(const SubjectRecord& subject, std::span<const CleanEvent> events,
                       EncodedChain& out, std::int64_t* without_token) const {
  const auto append = [&](std::int32_t token, std::int64_t time, std::uint32_t code, float value,
                          std::uint32_t extra) {
    out.token.push_back(static_cast<std::uint32_t>(token));
    out.time_us.push_back(time);
    out.code.push_back(code);
    out.value.push_back(value);
    out.extra.push_back(extra);
  };
  for (const CleanEvent& event : events.first(subject.num_static)) {
    const std::int32_t token = StaticToken(event.code);
    if (token == Vocabulary::kNone) {
      ++*without_token;
      continue;
    }
    append(token, event.time_us, event.code, event.value, event.extra);
  }
  const auto timed = events.subspan(subject.num_static);
  for (std::size_t i = 0; i < timed.size(); ++i) {
    if (i > 0 && timed[i].time_us != timed[i - 1].time_us) {
      const std::int32_t gap =
          vocabulary_.GapToken((timed[i].time_us - timed[i - 1].time_us) / kSecondUs);
      if (gap != Vocabulary::kNone) append(gap, timed[i].time_us, kNoCode, kNaN, 0);
    }
    const EventTokens tokens = TokensOf(timed[i]);
    append(tokens.first, timed[i].time_us, timed[i].code, timed[i].value, timed[i].extra);
    if (tokens.second != Vocabulary::kNone) {
      append(tokens.second, timed[i].time_us, kNoCode, kNaN, 0);
    }
  }
  if (rules_[timed.back().code].rank != KindRank::kDeath) {
    append(vocabulary_.end(), timed.back().time_us, kNoCode, kNaN, 0);
  }
}

}  // namespace sequela
