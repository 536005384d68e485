#include "dataio/simulator_process.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "kernels/base/check.h"
#include "kernels/base/errors.h"

namespace sequela {
namespace {

constexpr int kMaxCovariates = 64;
// The end of the last piece: 70,000 years on, so that differences of times cannot overflow.
constexpr std::int64_t kForever = std::numeric_limits<std::int64_t>::max() / 4;

std::int64_t YearsToMicroseconds(double years) {
  return std::llround(years * kMicrosecondsPerYear);
}

template <typename Items, typename Name>
int FindNamed(const Items& items, std::string_view name, Name name_of) {
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (name_of(items[i]) == name) {
      return static_cast<int>(i);
    }
  }
  return -1;
}

[[noreturn]] void Refuse(const std::string& where, const std::string& what) {
  throw InputError("simulation parameters: {}: {}", where, what);
}

bool IsAdmission(std::string_view code) {
  return code.substr(0, code.find("//")).find("ADMISSION") != std::string_view::npos;
}

// P(Z <= x) of a standard normal, accurate in both tails.
double NormalCumulative(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }

}  // namespace

double LaboratoryLaw::CumulativeProbability(float edge) const {
  if (std::isinf(edge)) {
    return edge > 0 ? 1.0 : 0.0;
  }
  // Values up to the middle between this float and the next are recorded as at most `edge`.
  const float next = std::nextafter(edge, std::numeric_limits<float>::infinity());
  double x = 0.5 * (static_cast<double>(edge) + static_cast<double>(next));
  if (logarithmic) {
    if (x <= 0) {
      return 0;
    }
    x = std::log(x);
  }
  const double below = NormalCumulative((lower - mean) / deviation);
  const double mass = NormalCumulative((upper - mean) / deviation) - below;
  const double here = NormalCumulative((std::clamp(x, lower, upper) - mean) / deviation);
  return (here - below) / mass;
}

float LaboratoryLaw::Draw(PhiloxStream* random) const {
  double x = 0;
  do {
    x = mean + deviation * random->NextNormal();
  } while (x < lower || x > upper);
  return static_cast<float>(logarithmic ? std::exp(x) : x);
}

LifeProcess::LifeProcess(ProcessParameters parameters) : parameters_(std::move(parameters)) {
  if (!(parameters_.age_band_years > 0) || parameters_.censoring_rate_per_year.empty()) {
    Refuse("age_band_years, censoring_rate_per_year",
           "a positive width and a rate per band expected");
  }
  age_band_us_ = YearsToMicroseconds(parameters_.age_band_years);
  num_bands_ = static_cast<int>(parameters_.censoring_rate_per_year.size());
  for (const double rate : parameters_.censoring_rate_per_year) {
    if (!(rate >= 0)) {
      Refuse("censoring_rate_per_year", "rates of at least 0 expected");
    }
    censoring_per_us_.push_back(rate / kMicrosecondsPerYear);
  }
  CompileCovariates();
  CompileAnchors();
  CompileFollowUps();
  CheckOrder();
  for (const std::string& code : parameters_.outcomes) {
    if (FindAnchor(code) < 0) {
      Refuse("outcomes", fmt::format("'{}' is no anchor's code", code));
    }
  }
}

void LifeProcess::CompileCovariates() {
  if (parameters_.conditions.size() + parameters_.covariates.size() > kMaxCovariates) {
    Refuse("covariates", fmt::format("more than {} with the conditions", kMaxCovariates));
  }
  for (const CovariateParameters& given : parameters_.covariates) {
    Covariate covariate{CovariateKind::kFemale, 0, YearsToMicroseconds(given.years)};
    const std::string where = "covariate '" + given.name + "'";
    if (given.kind == "race") {
      covariate.kind = CovariateKind::kRace;
      covariate.of = FindNamed(parameters_.races, given.of, [](const auto& r) { return r.name; });
    } else if (given.kind == "age_from") {
      covariate.kind = CovariateKind::kAgeFrom;
    } else if (given.kind == "recent") {
      covariate.kind = CovariateKind::kRecent;
      covariate.of = FindCondition(given.of);
    } else if (given.kind != "female") {
      Refuse(where, "kind is one of female, race, age_from, recent");
    }
    if (covariate.of < 0) {
      Refuse(where, fmt::format("nothing is named '{}'", given.of));
    }
    covariates_.push_back(covariate);
  }
}

std::uint64_t LifeProcess::Bit(const std::string& name, const std::string& where) const {
  int index = FindCondition(name);
  if (index < 0) {
    index = FindNamed(parameters_.covariates, name, [](const auto& c) { return c.name; });
    if (index < 0) {
      Refuse(where, fmt::format("no covariate or condition is named '{}'", name));
    }
    index += num_conditions();
  }
  return std::uint64_t{1} << index;
}

LifeProcess::Gate LifeProcess::CompileGate(const std::vector<std::string>& names,
                                           const std::string& where) const {
  Gate gate;
  for (const std::string& name : names) {
    const bool negated = name.starts_with('!');
    (negated ? gate.off : gate.on) |= Bit(negated ? name.substr(1) : name, where);
  }
  return gate;
}

LifeProcess::Change LifeProcess::CompileChange(const std::vector<std::string>& sets,
                                               const std::vector<std::string>& clears,
                                               const std::string& where) const {
  const auto mask = [&](const std::vector<std::string>& names) {
    std::uint64_t bits = 0;
    for (const std::string& name : names) {
      if (FindCondition(name) < 0) {
        Refuse(where, fmt::format("'{}' is no condition", name));
      }
      bits |= Bit(name, where);
    }
    return bits;
  };
  return {mask(sets), mask(clears)};
}

std::vector<LifeProcess::Effect> LifeProcess::CompileEffects(
    const std::vector<EffectParameters>& effects, bool exponentiate,
    const std::string& where) const {
  std::vector<Effect> compiled;
  for (const EffectParameters& effect : effects) {
    compiled.push_back(
        {Bit(effect.covariate, where), exponentiate ? std::exp(effect.weight) : effect.weight});
  }
  return compiled;
}

void LifeProcess::CompileAnchors() {
  for (const AnchorParameters& given : parameters_.anchors) {
    const std::string where = "anchor '" + given.code + "'";
    if (static_cast<int>(given.log_rate_per_year.size()) != num_bands_) {
      Refuse(where, fmt::format("log_rate_per_year has {} age bands, {} expected",
                                given.log_rate_per_year.size(), num_bands_));
    }
    Anchor anchor;
    for (const double log_rate : given.log_rate_per_year) {
      anchor.rate_per_us.push_back(std::exp(log_rate) / kMicrosecondsPerYear);
    }
    anchor.factors = CompileEffects(given.effects, /*exponentiate=*/true, where);
    anchor.gate = CompileGate(given.requires_all, where);
    anchor.change = CompileChange(given.sets, given.clears, where);
    anchors_.push_back(std::move(anchor));
  }
}

void LifeProcess::CompileFollowUps() {
  for (const FollowUpParameters& given : parameters_.follow_ups) {
    const std::string where = "follow-up '" + given.code + "'";
    FollowUp follow_up;
    follow_up.logit.assign(anchors_.size(), -std::numeric_limits<double>::infinity());
    for (const FollowUpChance& chance : given.chances) {
      const int anchor = FindAnchor(chance.anchor);
      if (anchor < 0) {
        Refuse(where, fmt::format("no anchor has the code '{}'", chance.anchor));
      }
      follow_up.logit[static_cast<std::size_t>(anchor)] = chance.logit;
    }
    follow_up.effects = CompileEffects(given.effects, /*exponentiate=*/false, where);
    follow_up.gate = CompileGate(given.requires_all, where);
    follow_up.change = CompileChange(given.sets, given.clears, where);
    if (given.laboratory) {
      const LaboratoryParameters& laboratory = *given.laboratory;
      if ((laboratory.shape != "normal" && laboratory.shape != "lognormal") ||
          !(laboratory.deviation > 0) || !(laboratory.lower < laboratory.upper) ||
          (laboratory.shape == "lognormal" && !(laboratory.lower > 0))) {
        Refuse(where, "shape normal or lognormal, deviation > 0, lower < upper expected");
      }
      follow_up.shifts = CompileEffects(laboratory.effects, /*exponentiate=*/false, where);
    }
    follow_ups_.push_back(std::move(follow_up));
  }
}

// Generation order must be the canonical order of a stamp (dataio/CHAIN_FORMAT.md): admissions
// first, then codes bytewise.
void LifeProcess::CheckOrder() const {
  for (std::size_t f = 0; f < follow_ups_.size(); ++f) {
    const FollowUpParameters& given = parameters_.follow_ups[f];
    if (f > 0 && !(parameters_.follow_ups[f - 1].code < given.code)) {
      Refuse("follow-up '" + given.code + "'", "follow-ups are listed ascending by code");
    }
    for (const FollowUpChance& chance : given.chances) {
      const AnchorParameters& anchor =
          parameters_.anchors[static_cast<std::size_t>(FindAnchor(chance.anchor))];
      if (anchor.ends_life || (!IsAdmission(anchor.code) && !(anchor.code < given.code))) {
        Refuse("follow-up '" + given.code + "'",
               fmt::format("would precede its anchor '{}' in a stamp", anchor.code));
      }
    }
  }
}

int LifeProcess::FindAnchor(std::string_view code) const {
  return FindNamed(
      parameters_.anchors, code, [](const auto& a) -> const auto& { return a.code; });
}

int LifeProcess::FindFollowUp(std::string_view code) const {
  return FindNamed(
      parameters_.follow_ups, code, [](const auto& f) -> const auto& { return f.code; });
}

int LifeProcess::FindCondition(std::string_view name) const {
  return FindNamed(
      parameters_.conditions, name, [](const auto& c) -> const auto& { return c; });
}

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
  SEQUELA_CHECK(time_us > state->now_us, "stamps ascend: {} after {}", time_us, state->now_us);
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

LaboratoryLaw LifeProcess::Laboratory(const LifeState& state, int follow_up) const {
  const auto index = static_cast<std::size_t>(follow_up);
  const LaboratoryParameters& given = parameters_.follow_ups[index].laboratory.value();
  LaboratoryLaw law;
  law.logarithmic = given.shape == "lognormal";
  law.mean = given.mean;
  law.deviation = given.deviation;
  law.lower = law.logarithmic ? std::log(given.lower) : given.lower;
  law.upper = law.logarithmic ? std::log(given.upper) : given.upper;
  const std::uint64_t covariates = CovariatesAt(state, state.now_us);
  for (const Effect& shift : follow_ups_[index].shifts) {
    law.mean += (covariates & shift.bit) != 0 ? shift.weight : 0.0;
  }
  return law;
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
