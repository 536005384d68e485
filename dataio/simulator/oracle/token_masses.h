// How a process's events become a store's tokens, and the distribution of the next token in a
// state.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "dataio/simulator/simulator_process.h"
#include "dataio/store/chain_store.h"
#include "dataio/store/vocabulary.h"

namespace sequela {

// What a row of codes.json is in the process; -1 where it is none of that kind.
struct CodeRole {
  int anchor = -1;
  int follow_up = -1;
  int race = -1;
  int sex = -1;  // 1 female, 0 male
};

// Immutable; safe for concurrent use. Distributions are [vocabulary] vectors that sum to 1 over
// target tokens.
class TokenMasses {
 public:
  // Borrows all three. Throws InputError where the store holds what the process cannot produce.
  TokenMasses(const LifeProcess& process, const Vocabulary& vocabulary,
              const std::vector<CodeEntry>& codes);

  const CodeRole& role(std::uint32_t code) const;
  std::int32_t AnchorToken(int anchor) const {
    return anchor_token_[static_cast<std::size_t>(anchor)];
  }

  // Of the token that begins the timestamp at `time_us`; state is the life before it.
  void AnchorDistribution(const LifeState& state, std::int64_t time_us,
                          std::vector<double>* distribution) const;
  // Of the token after the timestamp's last event so far: a further follow-up, or the gap to the
  // next timestamp.
  void ContinuationDistribution(const LifeState& state, std::vector<double>* distribution) const;

 private:
  struct ValueBin {
    std::int32_t token;
    float lower;
    float upper;
  };
  struct FollowUpTokens {
    std::int32_t code_token;  // of a value in no bin, and where there are no values
    std::vector<ValueBin> bins;
  };

  void ReadCodes(const std::vector<CodeEntry>& codes);
  void ReadBins();
  void ReadGaps();
  void AddFollowUp(const LifeState& state, int follow_up, double mass,
                   std::vector<double>* distribution) const;
  void Normalize(std::vector<double>* distribution) const;

  const LifeProcess* process_;
  const Vocabulary* vocabulary_;
  std::vector<CodeRole> roles_;             // [codes]
  std::vector<std::int32_t> anchor_token_;  // [anchors]
  std::vector<FollowUpTokens> follow_ups_;  // [follow-ups]
  std::vector<std::int32_t> gap_token_;     // [gap bins], ascending
  std::vector<double> gap_cut_;             // [gap bins + 1], see NextTimestampMasses
};

}  // namespace sequela
