// Events to tokens by a vocabulary, fitted here or elsewhere. Immutable; safe for concurrent use.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "dataio/base/counting_map.h"
#include "dataio/ingest/fitting/code_rules.h"
#include "dataio/ingest/ingest_settings.h"
#include "dataio/ingest/reading/event_records.h"
#include "dataio/store/vocabulary.h"

namespace sequela {

// A chain's columns (chain_store.h says in which order its tokens stand).
struct EncodedChain {
  std::vector<std::uint32_t> token;
  std::vector<std::int64_t> time_us;
  std::vector<std::uint32_t> code;
  std::vector<float> value;
  std::vector<std::uint32_t> extra;  // CleanEvent::extra of the events' first tokens, else 0

  std::size_t size() const { return token.size(); }
  void Clear();
};

class Tokenizer {
 public:
  // `vocabulary` and `rules` are borrowed. `codes` and `texts` are what the events' numbers stand
  // for.
  Tokenizer(const Vocabulary& vocabulary, const std::vector<std::string>& codes,
            const std::vector<std::vector<std::string>>& parents,
            const std::vector<std::string>& texts, const std::vector<CodeRule>& rules,
            const IngestSettings& settings);

  // Appends one subject's chain. `events`: static ones, then timed ones in order. Static facts
  // without a token are left out and counted in `*without_token`.
  void Encode(const SubjectRecord& subject, std::span<const CleanEvent> events, EncodedChain& out,
              std::int64_t* without_token) const;

  // The token of a timed event of this code without a usable value.
  std::int32_t PlainToken(std::uint32_t code) const { return codes_[code].plain; }
  // The token of a static fact, or Vocabulary::kNone.
  std::int32_t StaticToken(std::uint32_t code) const { return codes_[code].fact; }

 private:
  struct CodeTokens {
    std::int32_t plain = Vocabulary::kNone;
    bool is_own = false;  // plain is this code's own token, no fallback
    std::int32_t fact = Vocabulary::kNone;
    std::int32_t other_text = Vocabulary::kNone;
    std::uint32_t first_bin = 0;  // its bins in bins_
    std::uint32_t num_bins = 0;
  };
  struct Bin {
    float upper;
    std::int32_t token;
  };
  // An event's tokens: the second one is kNone where there is one token.
  struct EventTokens {
    std::int32_t first = Vocabulary::kNone;
    std::int32_t second = Vocabulary::kNone;
  };
  void ReadCode(const TokenEntry& entry, std::int32_t token, std::uint32_t code,
                const std::vector<std::string>& texts);
  void ReadSharedValues(const std::vector<std::string>& texts);
  EventTokens TokensOf(const CleanEvent& event) const;
  // The value token, or kNone where the event has no usable result.
  std::int32_t ResultOf(const CleanEvent& event) const;

  const Vocabulary& vocabulary_;
  const std::vector<CodeRule>& rules_;
  std::vector<CodeTokens> codes_;
  std::vector<Bin> bins_;
  CountingMap text_tokens_;  // code << 32 | text -> token + 1
  // Separate value tokens, which all codes share.
  bool is_separate_ = false;
  std::vector<std::int32_t> bin_tokens_;          // by bin_number
  std::vector<std::int32_t> shared_text_tokens_;  // by text; kNone: a rare one
  std::int32_t shared_other_text_ = Vocabulary::kNone;
};

}  // namespace sequela
