#include "dataio/simulator/oracle/token_masses.h"

#include <algorithm>
#include <unordered_map>

#include "dataio/simulator/process/next_timestamp_distribution.h"
#include "dataio/simulator/simulator.h"
#include "kernels/base/check.h"
#include "kernels/base/errors.h"

namespace sequela {

TokenMasses::TokenMasses(const LifeProcess& process, const Vocabulary& vocabulary,
                         const std::vector<CodeEntry>& codes)
    : process_(&process), vocabulary_(&vocabulary) {
  ReadCodes(codes);
  ReadBins();
  ReadGaps();
}

void TokenMasses::ReadCodes(const std::vector<CodeEntry>& codes) {
  std::unordered_map<std::string_view, std::int32_t> token_of;
  const auto& races = process_->parameters().races;
  for (const CodeEntry& entry : codes) {
    CodeRole role;
    role.anchor = process_->FindAnchor(entry.code);
    role.follow_up = process_->FindFollowUp(entry.code);
    for (std::size_t r = 0; r < races.size(); ++r) {
      role.race = RaceCode(races[r]) == entry.code ? static_cast<int>(r) : role.race;
    }
    role.sex = entry.code == SexCode(true) ? 1 : entry.code == SexCode(false) ? 0 : -1;
    if (role.anchor < 0 && role.follow_up < 0 && role.race < 0 && role.sex < 0 &&
        entry.code != kBirthCode) {
      throw InputError(
          "codes.json: '{}' is no code of the simulated process; the oracle covers the "
          "dataset as `sequela simulate` wrote it",
          entry.code);
    }
    roles_.push_back(role);
    token_of[entry.code] = entry.token;
  }
  // A code that never occurred has no token: its mass is [UNK]'s.
  const auto token = [&](const std::string& code) {
    const auto found = token_of.find(code);
    return found == token_of.end() ? vocabulary_->unk() : found->second;
  };
  for (const AnchorParameters& anchor : process_->parameters().anchors) {
    anchor_token_.push_back(token(anchor.code));
  }
  for (const FollowUpParameters& follow_up : process_->parameters().follow_ups) {
    follow_ups_.push_back({token(follow_up.code), {}});
  }
}

void TokenMasses::ReadBins() {
  for (std::int32_t t = 0; t < vocabulary_->size(); ++t) {
    const TokenEntry& entry = (*vocabulary_)[t];
    if (entry.kind != TokenKind::kValue) {
      continue;
    }
    const int follow_up = process_->FindFollowUp(entry.code);
    if (follow_up < 0 || !process_->has_laboratory(follow_up) || !entry.has_numeric_bin()) {
      throw InputError(
          "vocabulary.json: value token '{}' is of no laboratory of the simulated "
          "process, or no numeric bin; the oracle covers joint value tokens",
          entry.text);
    }
    follow_ups_[static_cast<std::size_t>(follow_up)].bins.push_back(
        {t, entry.bin_lower, entry.bin_upper});
  }
}

// A gap of g microseconds has floor(g / 10^6) whole seconds, so that lower <= seconds < upper means
// 10^6 lower - 1 < g <= 10^6 upper - 1. The first and the last bin take what lies outside all
// (Vocabulary::GapToken).
void TokenMasses::ReadGaps() {
  for (std::int32_t t = 0; t < vocabulary_->size(); ++t) {
    if ((*vocabulary_)[t].kind == TokenKind::kGap) {
      gap_token_.push_back(t);
    }
  }
  if (gap_token_.empty()) {
    throw InputError(
        "vocabulary.json: no gap tokens; the oracle covers stores with gap_tokens: true");
  }
  const auto lower = [&](std::int32_t t) { return (*vocabulary_)[t].lower_seconds; };
  std::sort(gap_token_.begin(), gap_token_.end(),
            [&](std::int32_t a, std::int32_t b) { return lower(a) < lower(b); });
  gap_cut_.push_back(0);
  for (std::size_t k = 1; k < gap_token_.size(); ++k) {
    gap_cut_.push_back(static_cast<double>(lower(gap_token_[k])) * kMicrosecondsPerSecond - 1);
  }
  gap_cut_.push_back(kNoCut);
}

const CodeRole& TokenMasses::role(std::uint32_t code) const {
  SEQUELA_CHECK(code < roles_.size(), "code {} of {}", code, roles_.size());
  return roles_[code];
}

void TokenMasses::Normalize(std::vector<double>* distribution) const {
  double sum = 0;
  for (std::int32_t t = 0; t < vocabulary_->size(); ++t) {
    double& mass = (*distribution)[static_cast<std::size_t>(t)];
    mass = IsTarget((*vocabulary_)[t]) ? mass : 0;
    sum += mass;
  }
  for (double& mass : *distribution) {
    mass /= sum;
  }
}

void TokenMasses::AnchorDistribution(const LifeState& state, std::int64_t time_us,
                                     std::vector<double>* distribution) const {
  distribution->assign(static_cast<std::size_t>(vocabulary_->size()), 0.0);
  std::vector<double> rates(anchor_token_.size());
  process_->AnchorRates(state, time_us, rates);
  for (std::size_t a = 0; a < rates.size(); ++a) {
    (*distribution)[static_cast<std::size_t>(anchor_token_[a])] += rates[a];
  }
  Normalize(distribution);
}

void TokenMasses::AddFollowUp(const LifeState& state, int follow_up, double mass,
                              std::vector<double>* distribution) const {
  const FollowUpTokens& tokens = follow_ups_[static_cast<std::size_t>(follow_up)];
  double rest = 1;
  if (!tokens.bins.empty()) {
    const LaboratoryDistribution values = process_->Laboratory(state, follow_up);
    for (const ValueBin& bin : tokens.bins) {
      const double probability =
          values.CumulativeProbability(bin.upper) - values.CumulativeProbability(bin.lower);
      (*distribution)[static_cast<std::size_t>(bin.token)] += mass * probability;
      rest -= probability;
    }
  }
  constexpr double kRounding = 1e-12;  // bins that cover all values leave nothing else
  if (rest > kRounding) {
    (*distribution)[static_cast<std::size_t>(tokens.code_token)] += mass * rest;
  }
}

void TokenMasses::ContinuationDistribution(const LifeState& state,
                                           std::vector<double>* distribution) const {
  distribution->assign(static_cast<std::size_t>(vocabulary_->size()), 0.0);
  double none = 1;  // P(no follow-up up to here)
  for (int f = state.last_follow_up + 1; f < process_->num_follow_ups(); ++f) {
    const double probability = process_->FollowUpProbability(state, f);
    if (probability > 0) {
      AddFollowUp(state, f, none * probability, distribution);
      none *= 1 - probability;
    }
  }
  std::vector<double> gaps(gap_token_.size());
  NextTimestampMasses(*process_, state, gap_cut_, gaps);
  for (std::size_t k = 0; k < gaps.size(); ++k) {
    (*distribution)[static_cast<std::size_t>(gap_token_[k])] += none * gaps[k];
  }
  Normalize(distribution);
}

}  // namespace sequela
