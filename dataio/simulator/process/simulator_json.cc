// The JSON form of the process's parameters. Doubles are written so that they read back to the same
// bits.
#include <nlohmann/json.hpp>

#include "dataio/simulator/simulator_process.h"
#include "kernels/base/errors.h"
#include "kernels/base/json_text.h"

namespace sequela {

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(CovariateParameters, name, kind, of, years)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(EffectParameters, covariate, weight)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(AnchorParameters, code, description, log_rate_per_year, effects,
                                   requires_all, sets, clears, ends_life)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(LaboratoryParameters, shape, mean, deviation, lower, upper,
                                   effects)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(FollowUpChance, anchor, logit)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(RaceParameters, name, probability)

static void to_json(nlohmann::json& json, const FollowUpParameters& p) {
  json = {{"code", p.code},       {"description", p.description},
          {"chances", p.chances}, {"effects", p.effects},
          {"sets", p.sets},       {"requires_all", p.requires_all},
          {"clears", p.clears}};
  if (p.laboratory) {
    json["laboratory"] = *p.laboratory;
  }
}

static void from_json(const nlohmann::json& json, FollowUpParameters& p) {
  json.at("code").get_to(p.code);
  json.at("description").get_to(p.description);
  json.at("chances").get_to(p.chances);
  json.at("effects").get_to(p.effects);
  json.at("requires_all").get_to(p.requires_all);
  json.at("sets").get_to(p.sets);
  json.at("clears").get_to(p.clears);
  if (json.contains("laboratory")) {
    p.laboratory = json.at("laboratory").get<LaboratoryParameters>();
  }
}

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(ProcessParameters, age_band_years, female_probability, races,
                                   conditions, covariates, anchors, follow_ups,
                                   censoring_rate_per_year, outcomes)

std::string ProcessParameters::ToJson() const { return nlohmann::json(*this).dump(); }

ProcessParameters ProcessParameters::FromJson(const std::string& json) {
  try {
    return ParseJsonText(json, "simulation parameters").get<ProcessParameters>();
  } catch (const nlohmann::json::exception& error) {
    throw InputError("simulation parameters: not what this version of sequela writes: {}",
                     error.what());
  }
}

}  // namespace sequela
