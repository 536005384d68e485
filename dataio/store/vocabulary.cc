#include "dataio/store/vocabulary.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "kernels/base/atomic_file.h"
#include "kernels/base/check.h"
#include "kernels/base/crc32c.h"
#include "kernels/base/errors.h"
#include "kernels/base/json_fields.h"
#include "kernels/base/json_text.h"

namespace sequela {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array<std::string_view, kNumTokenKinds> kKindNames = {"special", "static", "age",
                                                                     "gap",     "code",   "value"};
constexpr std::int64_t kMaxInteger = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kMaxBins = 1 << 16;
constexpr std::size_t kMaxTokens = std::size_t{1} << 24;

bool IsInterval(const TokenEntry& entry) {
  return entry.kind == TokenKind::kAge || entry.kind == TokenKind::kGap;
}

Json EdgeToJson(float edge) { return std::isinf(edge) ? Json() : Json(static_cast<double>(edge)); }

// The fields that decide how records are tokenised; `with_statistics` adds those that only describe
// the train split.
Json ToJsonObject(const TokenEntry& entry, bool with_statistics) {
  Json object = {{"text", entry.text}, {"kind", NameOf(entry.kind)}};
  if (with_statistics) object["train_count"] = entry.train_count;
  if (!entry.code.empty()) object["code"] = entry.code;
  if (entry.is_fallback) object["is_fallback"] = true;
  if (entry.has_numeric_bin()) {
    object["bin"] = {EdgeToJson(entry.bin_lower), EdgeToJson(entry.bin_upper)};
  }
  if (!entry.value_edges.empty()) {
    object["value_edges"] = std::vector<double>(entry.value_edges.begin(), entry.value_edges.end());
  }
  if (entry.bin_number > 0) object["bin_number"] = entry.bin_number;
  if (!entry.text_result.empty()) object["text_result"] = entry.text_result;
  if (IsInterval(entry)) {
    const bool open = entry.upper_seconds == kMaxInteger;
    object["seconds"] = {Json(entry.lower_seconds), open ? Json() : Json(entry.upper_seconds)};
  }
  if (with_statistics && !entry.gap_quantiles_seconds.empty()) {
    object["quantiles_seconds"] = entry.gap_quantiles_seconds;
  }
  return object;
}

// One token a line: readable, and a diff of two vocabularies shows tokens.
std::string ToJsonText(const std::vector<TokenEntry>& tokens, bool with_statistics) {
  std::string text =
      "{\n\"format\": \"sequela.vocabulary\",\n\"format_version\": \"1.0\",\n\"tokens\": [";
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    text += i == 0 ? "\n" : ",\n";
    try {
      text += ToJsonObject(tokens[i], with_statistics).dump();
    } catch (const nlohmann::json::exception&) {
      throw InputError("token {} of the vocabulary: its text is not UTF-8", i);
    }
  }
  return text + "\n]\n}\n";
}

TokenKind ParseKind(const JsonField& field) {
  const auto found = std::find(kKindNames.begin(), kKindNames.end(), field.String());
  if (found == kKindNames.end()) {
    field.Refuse(fmt::format("one of {}", fmt::join(kKindNames, ", ")));
  }
  return static_cast<TokenKind>(found - kKindNames.begin());
}

float ParseEdge(const JsonField& field, float infinity) {
  if (field.IsNull()) return infinity;
  const auto edge = static_cast<float>(field.Number());
  if (!std::isfinite(edge)) field.Refuse("a finite float32 or null");
  return edge;
}

void ParseBin(const JsonField& bin, TokenEntry* entry) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  if (bin.ArraySize() != 2) bin.Refuse("two bin edges");
  entry->bin_lower = ParseEdge(bin[std::size_t{0}], -kInfinity);
  entry->bin_upper = ParseEdge(bin[std::size_t{1}], kInfinity);
  if (!(entry->bin_lower < entry->bin_upper)) bin.Refuse("a lower edge below the upper one");
}

void ParseValueEdges(const JsonField& edges, TokenEntry* entry) {
  for (std::size_t i = 0; i < edges.ArraySize(); ++i) {
    const auto edge = static_cast<float>(edges[i].Number());
    if (!std::isfinite(edge) || (i > 0 && edge <= entry->value_edges.back())) {
      edges[i].Refuse("finite float32 edges that ascend");
    }
    entry->value_edges.push_back(edge);
  }
}

void ParseInterval(const JsonField& seconds, TokenEntry* entry) {
  if (seconds.ArraySize() != 2) seconds.Refuse("two times in seconds");
  const JsonField upper = seconds[std::size_t{1}];
  entry->lower_seconds = seconds[std::size_t{0}].Integer(0, kMaxInteger);
  entry->upper_seconds = upper.IsNull() ? kMaxInteger : upper.Integer(0, kMaxInteger);
  if (entry->lower_seconds >= entry->upper_seconds) seconds.Refuse("a lower time below the upper");
}

void ParseQuantiles(const JsonField& quantiles, TokenEntry* entry) {
  for (std::size_t i = 0; i < quantiles.ArraySize(); ++i) {
    const double seconds = quantiles[i].Number();
    if (!(seconds >= 0) || (i > 0 && seconds < entry->gap_quantiles_seconds.back())) {
      quantiles[i].Refuse("quantiles that are not negative and never fall");
    }
    entry->gap_quantiles_seconds.push_back(seconds);
  }
}

TokenEntry ParseToken(const JsonField& token) {
  TokenEntry entry;
  entry.text = token["text"].String();
  if (entry.text.empty()) token["text"].Refuse("a text that is not empty");
  entry.kind = ParseKind(token["kind"]);
  entry.train_count = token["train_count"].Integer(0, kMaxInteger);
  if (token.Has("code")) entry.code = token["code"].String();
  if (token.Has("is_fallback")) entry.is_fallback = token["is_fallback"].Bool();
  if (token.Has("bin")) ParseBin(token["bin"], &entry);
  if (token.Has("value_edges")) ParseValueEdges(token["value_edges"], &entry);
  if (token.Has("bin_number")) {
    entry.bin_number = static_cast<std::int32_t>(token["bin_number"].Integer(1, kMaxBins));
  }
  if (token.Has("text_result")) entry.text_result = token["text_result"].String();
  if (IsInterval(entry)) ParseInterval(token["seconds"], &entry);
  if (token.Has("quantiles_seconds")) ParseQuantiles(token["quantiles_seconds"], &entry);
  return entry;
}

// The tokens of an interval kind by their lower edges.
std::vector<std::int32_t> ByLowerEdge(const std::vector<TokenEntry>& tokens, TokenKind kind) {
  std::vector<std::int32_t> chosen;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i].kind == kind) chosen.push_back(static_cast<std::int32_t>(i));
  }
  const auto entry = [&](std::int32_t token) -> const TokenEntry& {
    return tokens[static_cast<std::size_t>(token)];
  };
  std::sort(chosen.begin(), chosen.end(), [&](std::int32_t a, std::int32_t b) {
    return entry(a).lower_seconds < entry(b).lower_seconds;
  });
  return chosen;
}

// Each bin of a code has its token, once.
void RefuseMissingBins(const std::vector<TokenEntry>& tokens, std::string_view file) {
  std::size_t most = 0;
  std::set<std::size_t> numbers;
  for (const TokenEntry& entry : tokens) {
    if (!entry.value_edges.empty()) most = std::max(most, entry.value_edges.size() + 1);
    if (entry.bin_number > 0 &&
        !numbers.insert(static_cast<std::size_t>(entry.bin_number)).second) {
      throw InputError("{}: two tokens of bin_number {}", file, entry.bin_number);
    }
  }
  for (std::size_t number = 1; number <= most; ++number) {
    if (numbers.contains(number)) continue;
    throw InputError("{}: a code has {} value bins, but no token has bin_number {}", file, most,
                     number);
  }
}

// What the constructor requires, said to the owner of the file.
void RefuseBadTokens(const std::vector<TokenEntry>& tokens, std::string_view file) {
  std::unordered_map<std::string_view, std::size_t> seen;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const auto [other, is_new] = seen.emplace(tokens[i].text, i);
    if (!is_new) {
      throw InputError("{}: tokens {} and {} are both \"{}\"; texts must differ", file,
                       other->second, i, tokens[i].text);
    }
  }
  for (const char* special : {"[BOS]", "[END]", "[UNK]"}) {
    const auto found = seen.find(special);
    if (found == seen.end() || tokens[found->second].kind != TokenKind::kSpecial) {
      throw InputError("{}: no token \"{}\" of kind special", file, special);
    }
  }
  RefuseMissingBins(tokens, file);
  for (const TokenKind kind : {TokenKind::kAge, TokenKind::kGap}) {
    const std::vector<std::int32_t> chain = ByLowerEdge(tokens, kind);
    for (std::size_t i = 1; i < chain.size(); ++i) {
      const TokenEntry& before = tokens[static_cast<std::size_t>(chain[i - 1])];
      const TokenEntry& after = tokens[static_cast<std::size_t>(chain[i])];
      if (before.upper_seconds != after.lower_seconds) {
        throw InputError("{}: the intervals of \"{}\" and \"{}\" do not join", file, before.text,
                         after.text);
      }
    }
  }
}

std::int32_t TokenOfInterval(const std::vector<TokenEntry>& tokens,
                             const std::vector<std::int32_t>& by_lower, std::int64_t seconds) {
  if (by_lower.empty()) return Vocabulary::kNone;
  auto above = std::upper_bound(
      by_lower.begin(), by_lower.end(), seconds, [&](std::int64_t value, std::int32_t token) {
        return value < tokens[static_cast<std::size_t>(token)].lower_seconds;
      });
  return above == by_lower.begin() ? by_lower.front() : *(above - 1);
}

}  // namespace

std::string_view NameOf(TokenKind kind) { return kKindNames[static_cast<std::size_t>(kind)]; }

Vocabulary::Vocabulary(std::vector<TokenEntry> tokens) : tokens_(std::move(tokens)) {
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    const bool is_new = by_text_.emplace(tokens_[i].text, static_cast<std::int32_t>(i)).second;
    SEQUELA_CHECK(is_new, "token {} \"{}\" stands twice", i, tokens_[i].text);
  }
  bos_ = Find("[BOS]");
  end_ = Find("[END]");
  unk_ = Find("[UNK]");
  SEQUELA_CHECK(bos_ != kNone && end_ != kNone && unk_ != kNone);
  age_tokens_ = ByLowerEdge(tokens_, TokenKind::kAge);
  gap_tokens_ = ByLowerEdge(tokens_, TokenKind::kGap);
  const std::string identity = ToJsonText(tokens_, false);
  hash_ = fmt::format("{:08x}", Crc32c(identity.data(), identity.size()));
}

Vocabulary Vocabulary::FromJson(std::string_view json, const std::filesystem::path& file) {
  const nlohmann::json document = ParseJsonText(json, file);
  const std::string name = file.string();
  const JsonField root(document, name);
  if (root["format"].String() != "sequela.vocabulary") {
    root["format"].Refuse("\"sequela.vocabulary\"");
  }
  if (!root["format_version"].String().starts_with("1.")) {
    root["format_version"].Refuse(
        "version 1.x, the one that this program knows; use a newer sequela");
  }
  const JsonField list = root["tokens"];
  if (list.ArraySize() > kMaxTokens) list.Refuse(fmt::format("at most {} tokens", kMaxTokens));
  std::vector<TokenEntry> tokens;
  for (std::size_t i = 0; i < list.ArraySize(); ++i) tokens.push_back(ParseToken(list[i]));
  RefuseBadTokens(tokens, name);
  return Vocabulary(std::move(tokens));
}

Vocabulary Vocabulary::Load(const std::filesystem::path& file) {
  return FromJson(ReadFile(file), file);
}

std::string Vocabulary::ToJson() const { return ToJsonText(tokens_, true); }

std::int32_t Vocabulary::Find(std::string_view text) const {
  const auto found = by_text_.find(std::string(text));
  return found == by_text_.end() ? kNone : found->second;
}

std::int32_t Vocabulary::AgeToken(std::int64_t age_seconds) const {
  return TokenOfInterval(tokens_, age_tokens_, age_seconds);
}

std::int32_t Vocabulary::GapToken(std::int64_t gap_seconds) const {
  return TokenOfInterval(tokens_, gap_tokens_, gap_seconds);
}

}  // namespace sequela
