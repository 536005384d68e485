#include "dataio/ingest/fitting/vocabulary_fit.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>
#include <set>
#include <unordered_set>

#include "dataio/base/duration.h"
#include "dataio/ingest/fitting/fallbacks.h"

namespace sequela {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr std::int64_t kNoUpper = std::numeric_limits<std::int64_t>::max();

TokenEntry Token(std::string text, TokenKind kind, std::string code = "") {
  TokenEntry entry;
  entry.text = std::move(text);
  entry.kind = kind;
  entry.code = std::move(code);
  return entry;
}

// A fallback's codes and, of each, the train subjects: rare codes have few.
using Members = std::vector<std::pair<std::size_t, std::vector<Fallback>>>;

// The fallback tokens that enough subjects have. Every rare code takes its first candidate that is
// still in the race; candidates with too few subjects leave it, until none does.
std::map<std::string, Fallback> ChooseFallbacks(
    const Members& members, const std::vector<std::vector<std::int64_t>>& subjects_of,
    std::size_t min_subjects) {
  std::unordered_set<std::string> out;
  for (;;) {
    std::map<std::string, std::pair<Fallback, std::set<std::int64_t>>> subjects;
    for (const auto& [code, candidates] : members) {
      const auto choice = std::find_if(candidates.begin(), candidates.end(),
                                       [&](const Fallback& f) { return !out.contains(f.text); });
      if (choice == candidates.end()) continue;
      auto& entry = subjects[choice->text];
      entry.first = *choice;
      entry.second.insert(subjects_of[code].begin(), subjects_of[code].end());
    }
    const std::size_t before = out.size();
    std::map<std::string, Fallback> chosen;
    for (const auto& [text, entry] : subjects) {
      if (entry.second.size() < min_subjects) {
        out.insert(text);
      } else {
        chosen[text] = entry.first;
      }
    }
    if (out.size() == before) return chosen;
  }
}

std::vector<double> GapQuantiles(const std::vector<CountingMap::Entry>& gaps) {
  std::uint64_t total = 0;
  for (const auto& entry : gaps) total += entry.second;
  std::vector<double> quantiles;
  for (std::uint64_t eighth = 0; eighth <= 8; ++eighth) {
    const std::uint64_t rank = std::min(total - 1, eighth * total / 8);
    std::uint64_t below = 0;
    for (const auto& [seconds, count] : gaps) {
      below += count;
      if (below <= rank) continue;
      quantiles.push_back(static_cast<double>(seconds));
      break;
    }
  }
  return quantiles;
}

class Drafter {
 public:
  explicit Drafter(const FitInput& input)
      : input_(input),
        min_subjects_(static_cast<std::size_t>(input.min_subjects)),
        fallbacks_(input.settings) {}

  std::vector<TokenEntry> Draft(const std::vector<std::vector<float>>& edges) {
    for (const char* text : {"[BOS]", "[END]", "[UNK]"}) Add(Token(text, TokenKind::kSpecial));
    ReserveFallbacks();
    AddStatics();
    AddAges();
    AddGaps();
    FindTextResults();
    for (std::size_t code = 0; code < input_.codes.size(); ++code) {
      if (HasOwnToken(code)) AddCode(code, edges[code]);
    }
    for (const auto& [text, fallback] : timed_fallbacks_) {
      TokenEntry entry = Token(text, TokenKind::kCode, fallback.shared);
      entry.is_fallback = true;
      tokens_.push_back(std::move(entry));
    }
    return std::move(tokens_);
  }

 private:
  const CodeStatistics& Of(std::size_t code) const { return input_.statistics.codes[code]; }
  bool HasOwnToken(std::size_t code) const {
    const CodeRule& rule = input_.rules[code];
    return rule.rank != KindRank::kBirth && (rule.is_kept || Enough(Of(code).subjects));
  }
  bool HasStaticToken(std::size_t code) const {
    return (input_.rules[code].rank == KindRank::kBirth && Of(code).static_events > 0) ||
           Enough(Of(code).static_subjects);
  }
  bool Enough(std::int64_t subjects) const {
    return subjects >= static_cast<std::int64_t>(min_subjects_);
  }

  // Texts are names for people, and unique; programs go by kind and code.
  void Add(TokenEntry entry) {
    while (!texts_.insert(entry.text).second) entry.text += "~";
    tokens_.push_back(std::move(entry));
  }

  void ReserveFallbacks() {
    Members timed;
    Members statics;
    for (std::size_t code = 0; code < input_.codes.size(); ++code) {
      if (Of(code).subjects > 0 && !HasOwnToken(code)) {
        timed.emplace_back(code, fallbacks_.Of(input_.codes[code], input_.parents[code]));
      }
      if (Of(code).static_subjects > 0 && !HasStaticToken(code)) {
        statics.emplace_back(code, fallbacks_.OfStatic(input_.codes[code]));
      }
    }
    timed_fallbacks_ = ChooseFallbacks(timed, input_.statistics.timed_subjects, min_subjects_);
    static_fallbacks_ = ChooseFallbacks(statics, input_.statistics.static_subjects, min_subjects_);
    for (const auto& entry : timed_fallbacks_) texts_.insert(entry.first);
    for (const auto& entry : static_fallbacks_) texts_.insert(entry.first);
  }

  void AddStatics() {
    for (std::size_t code = 0; code < input_.codes.size(); ++code) {
      if (HasStaticToken(code)) {
        Add(Token(input_.codes[code], TokenKind::kStatic, input_.codes[code]));
      }
    }
    for (const auto& [text, fallback] : static_fallbacks_) {
      TokenEntry entry = Token(text, TokenKind::kStatic, fallback.shared);
      entry.is_fallback = true;
      tokens_.push_back(std::move(entry));
    }
  }

  void AddAges() {
    const int width = input_.settings.age_bin_years;
    if (width == 0) return;
    for (int age = 0; age <= 100; age += width) {
      const bool top = age + width > 100;
      TokenEntry entry =
          Token(top ? fmt::format("AGE//{}+", age) : fmt::format("AGE//{}-{}", age, age + width),
                TokenKind::kAge);
      entry.lower_seconds = age * kYearSeconds;
      entry.upper_seconds = top ? kNoUpper : (age + width) * kYearSeconds;
      Add(std::move(entry));
    }
  }

  // Bins without a gap in train are given to the bin below (the first seen bin reaches down to 0).
  void AddGaps() {
    if (!input_.settings.gap_tokens) return;
    const auto& edges = input_.settings.gap_edges_seconds;
    std::map<std::size_t, std::vector<CountingMap::Entry>> seen;
    for (const auto& [key, count] : input_.statistics.gaps.Sorted()) {
      seen[key >> 48].emplace_back(key & 0xFFFFFFFFFFFFULL, count);
    }
    for (auto bin = seen.begin(); bin != seen.end(); ++bin) {
      const auto next = std::next(bin);
      const std::int64_t lower = bin == seen.begin() ? 0 : edges[bin->first];
      const std::int64_t upper = next == seen.end() ? kNoUpper : edges[next->first];
      TokenEntry entry = Token(next == seen.end() ? fmt::format("GAP//{}+", FormatDuration(lower))
                                                  : fmt::format("GAP//{}-{}", FormatDuration(lower),
                                                                FormatDuration(upper)),
                               TokenKind::kGap);
      entry.lower_seconds = lower;
      entry.upper_seconds = upper;
      entry.gap_quantiles_seconds = GapQuantiles(bin->second);
      Add(std::move(entry));
    }
  }

  // Texts that enough train subjects have for a code; whether a code has others besides.
  void FindTextResults() {
    results_.resize(input_.codes.size());
    has_other_text_.resize(input_.codes.size());
    for (const auto& [pair, subjects] : input_.statistics.text_subjects.Sorted()) {
      const std::size_t code = pair >> 32;
      if (Enough(static_cast<std::int64_t>(subjects))) {
        results_[code].push_back(static_cast<std::uint32_t>(pair));
      } else {
        has_other_text_[code] = true;
      }
    }
  }

  void AddCode(std::size_t code, const std::vector<float>& edges) {
    const std::string& name = input_.codes[code];
    Add(Token(name, TokenKind::kCode, name));
    for (const std::uint32_t text : results_[code]) AddResult(name, input_.texts[text]);
    if (!results_[code].empty() || has_other_text_[code]) AddResult(name, "OTHER");
    if (edges.empty()) return;
    for (std::size_t bin = 0; bin <= edges.size(); ++bin) {
      TokenEntry entry = Token(fmt::format("{}//Q{}", name, bin + 1), TokenKind::kValue, name);
      entry.bin_lower = bin == 0 ? -kInfinity : edges[bin - 1];
      entry.bin_upper = bin == edges.size() ? kInfinity : edges[bin];
      Add(std::move(entry));
    }
  }
  void AddResult(const std::string& code, const std::string& result) {
    TokenEntry entry = Token(fmt::format("{}//={}", code, result), TokenKind::kValue, code);
    entry.text_result = result;
    Add(std::move(entry));
  }

  const FitInput& input_;
  std::size_t min_subjects_;
  FallbackRules fallbacks_;
  std::map<std::string, Fallback> timed_fallbacks_;
  std::map<std::string, Fallback> static_fallbacks_;
  std::vector<std::vector<std::uint32_t>> results_;  // by code
  std::vector<bool> has_other_text_;
  std::unordered_set<std::string> texts_;
  std::vector<TokenEntry> tokens_;
};

// A value bin and its use; `subjects` is a lower bound after merging.
struct Bin {
  TokenEntry entry;
  TokenUse use;
};

void MergeInto(Bin& lower, Bin& upper) {
  lower.entry.bin_upper = upper.entry.bin_upper;
  lower.use.events += upper.use.events;
  lower.use.subjects = std::max(lower.use.subjects, upper.use.subjects);
}

// The rarest bin goes to its lighter neighbour until every bin has enough subjects.
std::vector<Bin> MergeRareBins(std::vector<Bin> bins, std::int64_t min_subjects) {
  while (bins.size() > 1) {
    const auto rarest = std::min_element(bins.begin(), bins.end(), [](const Bin& a, const Bin& b) {
      return a.use.subjects < b.use.subjects;
    });
    if (rarest->use.subjects >= min_subjects) break;
    const bool has_lower = rarest != bins.begin();
    const bool has_upper = rarest + 1 != bins.end();
    const bool down =
        has_lower && (!has_upper || (rarest - 1)->use.events <= (rarest + 1)->use.events);
    const auto lower = down ? rarest - 1 : rarest;
    MergeInto(*lower, *(lower + 1));
    bins.erase(lower + 1);
  }
  return bins;
}

// A code's plain token and the value tokens behind it. What too few subjects have goes to the plain
// token.
class CodeTokens {
 public:
  CodeTokens(TokenEntry plain, TokenUse use) : plain_(std::move(plain)), plain_use_(use) {}

  void AddValue(const TokenEntry& value, const TokenUse& use, std::int64_t min_subjects) {
    if (value.has_numeric_bin()) {
      bins_.push_back({value, use});
    } else if (use.subjects >= min_subjects) {
      texts_.push_back(value);
    } else {
      GiveToPlain(use);
    }
  }
  // One bin of all values says no more than the plain token.
  void MergeBins(std::int64_t min_subjects) {
    bins_ = MergeRareBins(std::move(bins_), min_subjects);
    if (bins_.size() != 1) return;
    GiveToPlain(bins_[0].use);
    bins_.clear();
  }
  // The plain token where it is kept whatever its use, or has enough subjects; bins by number.
  void AppendTo(std::vector<TokenEntry>& tokens, bool is_kept, std::int64_t min_subjects) const {
    if (is_kept || plain_use_.subjects >= min_subjects) tokens.push_back(plain_);
    tokens.insert(tokens.end(), texts_.begin(), texts_.end());
    for (std::size_t bin = 0; bin < bins_.size(); ++bin) {
      TokenEntry entry = bins_[bin].entry;
      entry.text = fmt::format("{}{}", entry.text.substr(0, entry.text.rfind("//Q") + 3), bin + 1);
      tokens.push_back(std::move(entry));
    }
  }

 private:
  void GiveToPlain(const TokenUse& other) {
    plain_use_.events += other.events;
    plain_use_.subjects = std::max(plain_use_.subjects, other.subjects);
  }

  TokenEntry plain_;
  TokenUse plain_use_;
  std::vector<TokenEntry> texts_;
  std::vector<Bin> bins_;
};

// Whether the settings keep the code's token whatever its use.
bool IsKept(const FitInput& input, const std::string& code) {
  const auto found = std::lower_bound(input.codes.begin(), input.codes.end(), code);
  return input.rules[static_cast<std::size_t>(found - input.codes.begin())].is_kept;
}

}  // namespace

int EffectiveMinSubjects(const IngestSettings& settings, std::int64_t train_subjects) {
  if (settings.min_subjects > 0) return settings.min_subjects;
  return static_cast<int>(std::clamp<std::int64_t>((train_subjects + 7) / 8, 1, 10));
}

bool HasValueBins(const FitInput& input, std::size_t code) {
  const CodeStatistics& statistics = input.statistics.codes[code];
  return input.settings.value_tokens != IngestSettings::ValueTokens::kNone &&
         statistics.subjects >= input.min_subjects &&
         statistics.value_subjects >= input.min_subjects;
}

std::vector<TokenEntry> DraftTokens(const FitInput& input,
                                    const std::vector<std::vector<float>>& edges) {
  return Drafter(input).Draft(edges);
}

std::vector<TokenEntry> FinalTokens(const FitInput& input, const std::vector<TokenEntry>& draft,
                                    const std::vector<TokenUse>& use) {
  std::vector<TokenEntry> tokens;
  for (std::size_t i = 0; i < draft.size();) {
    const TokenEntry& first = draft[i];
    if (first.kind != TokenKind::kCode || first.is_fallback) {
      tokens.push_back(draft[i++]);
      continue;
    }
    CodeTokens code(first, use[i++]);
    for (; i < draft.size() && draft[i].kind == TokenKind::kValue; ++i) {
      code.AddValue(draft[i], use[i], input.min_subjects);
    }
    code.MergeBins(input.min_subjects);
    code.AppendTo(tokens, IsKept(input, first.code), input.min_subjects);
  }
  return tokens;
}

}  // namespace sequela
