// The tokens of a chain store: what each stands for, everything needed to read a chain back.
// Immutable after loading; safe for concurrent reads.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace sequela {

// Stored in vocabulary.json by name: special, static, age, gap, code, value.
enum class TokenKind : std::uint8_t { kSpecial, kStatic, kAge, kGap, kCode, kValue };
inline constexpr int kNumTokenKinds = 6;
std::string_view NameOf(TokenKind kind);

inline constexpr std::string_view kUnknownText = "[UNK]";

// One token. Fields that its kind does not use keep their defaults.
struct TokenEntry {
  std::string text{};  // as shown and as looked up: "LAB//50912//mg/dL//Q7"
  TokenKind kind = TokenKind::kSpecial;
  std::int64_t train_count = 0;  // occurrences in the train split
  // code, value, static: the code, or, for a fallback token, what the merged codes share (a parent,
  // a truncated code, a prefix); empty for bin tokens that stand alone (separate mode).
  std::string code{};
  bool is_fallback = false;  // stands for several rare codes (codes.json says which)
  // Numeric value tokens: values v with bin_lower < v <= bin_upper (float32; -inf and +inf at the
  // ends). NaN in both: no numeric bin.
  float bin_lower = std::numeric_limits<float>::quiet_NaN();
  float bin_upper = std::numeric_limits<float>::quiet_NaN();
  std::string text_result{};  // value tokens of text results: the result ("positive", "OTHER")
  // Separate value tokens. Of a code: the edges, ascending, between the bins of its values; a value
  // v lies in bin 1 + (number of edges below v). Of a value token that stands for every code's bin
  // of this number (its code is empty): the number, from 1.
  std::vector<float> value_edges{};
  std::int32_t bin_number = 0;
  // Gap and age tokens: lower <= seconds < upper (INT64_MAX at the top). Ages are seconds since
  // birth.
  std::int64_t lower_seconds = 0;
  std::int64_t upper_seconds = 0;
  // Gap tokens: evenly spaced quantiles, in seconds, of the train gaps inside the bin (0, 1/8 ..
  // 1); a generator samples from them. Empty where train has none.
  std::vector<double> gap_quantiles_seconds{};

  bool has_numeric_bin() const { return bin_lower == bin_lower; }
};

class Vocabulary {
 public:
  static constexpr std::int32_t kNone = -1;

  Vocabulary() = default;
  // REQUIRES: texts are distinct; the three specials are present.
  explicit Vocabulary(std::vector<TokenEntry> tokens);

  // Throws InputError naming the file and what is wrong with it.
  static Vocabulary FromJson(std::string_view json, const std::filesystem::path& file_for_messages);
  static Vocabulary Load(const std::filesystem::path& file);
  std::string ToJson() const;  // the same bytes for the same tokens

  std::int32_t size() const { return static_cast<std::int32_t>(tokens_.size()); }
  const TokenEntry& operator[](std::int32_t token) const {
    return tokens_[static_cast<std::size_t>(token)];
  }
  const std::vector<TokenEntry>& tokens() const { return tokens_; }
  // The token with this text, or kNone.
  std::int32_t Find(std::string_view text) const;
  std::int32_t bos() const { return bos_; }  // "[BOS]"
  std::int32_t end() const {
    return end_;
  }  // "[END]": the subject's true end, never a target by default
  std::int32_t unk() const { return unk_; }  // kUnknownText
  // The age token for an age in seconds (clamped to the first and last), or kNone where there are
  // none.
  std::int32_t AgeToken(std::int64_t age_seconds) const;
  // The gap token for a positive gap in seconds, or kNone where there are none.
  std::int32_t GapToken(std::int64_t gap_seconds) const;
  // Hex CRC-32C of ToJson() without counts and quantiles: two vocabularies with one hash tokenise
  // alike.
  const std::string& hash() const { return hash_; }

 private:
  std::vector<TokenEntry> tokens_;
  std::unordered_map<std::string, std::int32_t> by_text_;
  std::vector<std::int32_t> age_tokens_;  // ascending by lower_seconds
  std::vector<std::int32_t> gap_tokens_;
  std::int32_t bos_ = kNone;
  std::int32_t end_ = kNone;
  std::int32_t unk_ = kNone;
  std::string hash_;
};

}  // namespace sequela
