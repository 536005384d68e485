// The state of a life: how recorded tokens change it, and what it says of what comes next.
#include <algorithm>
#include <cmath>
#include <limits>

#include "dataio/simulator/simulator_process.h"
#include "kernels/base/check.h"

namespace sequela {
namespace {

// The end of the last piece: 70,000 years on, so that differences of times cannot overflow.
constexpr std::int64_t kForever = std::numeric_limits<std::int64_t>::max() / 4;

}  // namespace

LifeState LifeProcess::Born(bool female, int race, std::int64_t birth_us) const {
  LifeState state;
  state.female = female;
  state.race = race;
  state.birth_us = birth_us;
  state.now_us = birth_us;
  state.last_set_us.assign(static_cast<std::size_t>(num_conditions()), LifeState::kNever);
  return state;
}

void LifeProcess::Apply(const Change& change, LifeState* state) {
  state->conditions = (state->conditions & ~change.clears) | change.sets;
  for (std::size_t c = 0; c < state->last_set_us.size(); ++c) {
    if ((change.sets >> c & 1U) != 0) {
      state->last_set_us[c] = state->now_us;
    }
  }
}

void LifeProcess::ApplyAnchor(int anchor, std::int64_t time_us, LifeState* state) const {
  SEQUELA_CHECK(time_us > state->now_us, "timestamps ascend: {} after {}", time_us, state->now_us);
  state->now_us = time_us;
  state->anchor = anchor;
  state->last_follow_up = -1;
  Apply(anchors_[static_cast<std::size_t>(anchor)].change, state);
  state->ended = parameters_.anchors[static_cast<std::size_t>(anchor)].ends_life;
}

void LifeProcess::ApplyFollowUp(int follow_up, LifeState* state) const {
  state->last_follow_up = follow_up;
  Apply(follow_ups_[static_cast<std::size_t>(follow_up)].change, state);
}

std::uint64_t LifeProcess::CovariatesAt(const LifeState& state, std::int64_t time_us) const {
  std::uint64_t bits = state.conditions;
  for (std::size_t i = 0; i < covariates_.size(); ++i) {
    const Covariate& covariate = covariates_[i];
    bool on = false;
    switch (covariate.kind) {
      case CovariateKind::kFemale:
        on = state.female;
        break;
      case CovariateKind::kRace:
        on = state.race == covariate.of;
        break;
      case CovariateKind::kAgeFrom:
        on = time_us > state.birth_us + covariate.duration_us;
        break;
      case CovariateKind::kRecent: {
        const std::int64_t set = state.last_set_us[static_cast<std::size_t>(covariate.of)];
        on = set != LifeState::kNever && time_us <= set + covariate.duration_us;
        break;
      }
    }
    bits |= static_cast<std::uint64_t>(on) << (static_cast<std::size_t>(num_conditions()) + i);
  }
  return bits;
}

int LifeProcess::AgeBand(const LifeState& state, std::int64_t time_us) const {
  const std::int64_t band = (time_us - state.birth_us - 1) / age_band_us_;
  return static_cast<int>(std::clamp<std::int64_t>(band, 0, num_bands_ - 1));
}

std::int64_t LifeProcess::LastCellLike(const LifeState& state, std::int64_t time_us) const {
  std::int64_t last = kForever;
  const auto end_at = [&](std::int64_t moment) {
    if (moment >= time_us) {
      last = std::min(last, moment);
    }
  };
  const int band = AgeBand(state, time_us);
  if (band + 1 < num_bands_) {
    end_at(state.birth_us + (band + 1) * age_band_us_);
  }
  for (const Covariate& covariate : covariates_) {
    if (covariate.kind == CovariateKind::kAgeFrom) {
      end_at(state.birth_us + covariate.duration_us);
    } else if (covariate.kind == CovariateKind::kRecent) {
      const std::int64_t set = state.last_set_us[static_cast<std::size_t>(covariate.of)];
      if (set != LifeState::kNever) {
        end_at(set + covariate.duration_us);
      }
    }
  }
  return last;
}

double LifeProcess::AnchorRates(const LifeState& state, std::int64_t time_us,
                                std::span<double> rates) const {
  const std::uint64_t covariates = CovariatesAt(state, time_us);
  const auto band = static_cast<std::size_t>(AgeBand(state, time_us));
  double sum = 0;
  for (std::size_t a = 0; a < anchors_.size(); ++a) {
    double rate = 0;
    if (anchors_[a].gate.Open(covariates)) {
      rate = anchors_[a].rate_per_us[band];
      for (const Effect& factor : anchors_[a].factors) {
        rate *= (covariates & factor.bit) != 0 ? factor.weight : 1.0;
      }
    }
    rates[a] = rate;
    sum += rate;
  }
  return sum;
}

bool LifeProcess::AnchorIsOpen(const LifeState& state, int anchor) const {
  const Gate& gate = anchors_[static_cast<std::size_t>(anchor)].gate;
  return !state.ended && gate.Open(CovariatesAt(state, state.now_us));
}

double LifeProcess::CensoringRate(const LifeState& state, std::int64_t time_us) const {
  return censoring_per_us_[static_cast<std::size_t>(AgeBand(state, time_us))];
}

double LifeProcess::FollowUpProbability(const LifeState& state, int follow_up) const {
  const FollowUp& rule = follow_ups_[static_cast<std::size_t>(follow_up)];
  double logit = rule.logit[static_cast<std::size_t>(state.anchor)];
  const std::uint64_t covariates = CovariatesAt(state, state.now_us);
  if (!std::isfinite(logit) || !rule.gate.Open(covariates)) {
    return 0;
  }
  for (const Effect& effect : rule.effects) {
    logit += (covariates & effect.bit) != 0 ? effect.weight : 0.0;
  }
  return 1.0 / (1.0 + std::exp(-logit));
}

bool LifeProcess::has_laboratory(int follow_up) const {
  return parameters_.follow_ups[static_cast<std::size_t>(follow_up)].laboratory.has_value();
}

bool LifeProcess::changes_conditions(int follow_up) const {
  const Change& change = follow_ups_[static_cast<std::size_t>(follow_up)].change;
  return (change.sets | change.clears) != 0;
}

LaboratoryDistribution LifeProcess::Laboratory(const LifeState& state, int follow_up) const {
  const auto index = static_cast<std::size_t>(follow_up);
  const LaboratoryParameters& given = parameters_.follow_ups[index].laboratory.value();
  LaboratoryDistribution distribution;
  distribution.logarithmic = given.shape == "lognormal";
  distribution.mean = given.mean;
  distribution.deviation = given.deviation;
  distribution.lower = distribution.logarithmic ? std::log(given.lower) : given.lower;
  distribution.upper = distribution.logarithmic ? std::log(given.upper) : given.upper;
  const std::uint64_t covariates = CovariatesAt(state, state.now_us);
  for (const Effect& shift : follow_ups_[index].shifts) {
    distribution.mean += (covariates & shift.bit) != 0 ? shift.weight : 0.0;
  }
  return distribution;
}

NextEvent DrawNextEvent(const LifeProcess& process, const LifeState& state, std::int64_t start_us,
                        bool censored, PhiloxStream* random) {
  std::vector<double> rates(static_cast<std::size_t>(process.num_anchors()));
  double left = random->NextExponential();
  for (std::int64_t cell = start_us + 1;;) {
    const std::int64_t last = process.LastCellLike(state, cell);
    const double censoring = censored ? process.CensoringRate(state, cell) : 0.0;
    const double total = process.AnchorRates(state, cell, rates) + censoring;
    const double available = total * (static_cast<double>(last - cell) + 1.0);
    if (left > available) {
      left -= available;
      cell = last + 1;
      continue;
    }
    SEQUELA_CHECK(total > 0, "no event can follow");
    const double offset = std::max(1.0, std::ceil(left / total));
    const std::int64_t time = std::min(last, cell - 1 + static_cast<std::int64_t>(offset));
    double target = random->NextUniform() * total - censoring;
    if (target < 0) {
      return {time, -1};
    }
    int chosen = -1;
    for (int a = 0; a < process.num_anchors(); ++a) {
      const double rate = rates[static_cast<std::size_t>(a)];
      if (rate > 0) {
        chosen = a;
        if (target < rate) {
          break;
        }
        target -= rate;
      }
    }
    return {time, chosen};
  }
}

}  // namespace sequela
