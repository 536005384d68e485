#include "dataio/simulator/simulator_process.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "kernels/base/check.h"
#include "kernels/base/errors.h"

namespace sequela {
namespace {

constexpr int kMaxCovariates = 64;
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

}  // namespace

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

// Generation order must be the canonical order of a timestamp (dataio/CHAIN_FORMAT.md): admissions
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
               fmt::format("would precede its anchor '{}' in a timestamp", anchor.code));
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

}  // namespace sequela
