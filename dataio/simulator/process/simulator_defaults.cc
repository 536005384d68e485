// The default process: ten chronic diseases, seven drugs, eight laboratories, visits and
// admissions. The planted pathway to death is hypertension or diabetes -> kidney disease -> heart
// failure -> death. Effects are strong and few, so that a small model can learn what a count of
// pairs cannot: the conditions of a life are decided by events that lie hundreds of tokens back.
#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "dataio/simulator/simulator_process.h"

namespace sequela {
namespace {

using Effects = std::vector<EffectParameters>;
using Names = std::vector<std::string>;
using Rates = std::vector<double>;

constexpr int kBands = 22;  // of five years; the last is 105 and above
constexpr double kBandYears = 5;
constexpr double kLowestLogRate = -16;

double MidAge(int band) { return kBandYears * (band + 0.5); }

// exp(slope) more in ten years of age, `at_60` a year at the age of 60; practically never before
// `from_age`, constant after the age of 90.
Rates Rising(double at_60, double slope_per_decade, double from_age = 0) {
  Rates rates;
  for (int band = 0; band < kBands; ++band) {
    const double age = std::min(MidAge(band), 90.0);
    const double rate = std::log(at_60) + slope_per_decade * (age - 60) / 10;
    rates.push_back(age < from_age ? kLowestLogRate : std::max(rate, kLowestLogRate));
  }
  return rates;
}

// Constant from each age on, given as (age, rate a year) ascending from age 0.
Rates Steps(const std::vector<std::pair<double, double>>& steps) {
  Rates rates;
  for (int band = 0; band < kBands; ++band) {
    double rate = 0;
    for (const auto& [age, value] : steps) {
      rate = MidAge(band) > age ? value : rate;
    }
    rates.push_back(std::max(std::log(rate), kLowestLogRate));
  }
  return rates;
}

Rates Constant(double rate) { return Steps({{0, rate}}); }

void AddCovariates(ProcessParameters* p) {
  p->covariates = {{"female", "female", "", 0},
                   {"black", "race", "BLACK", 0},
                   {"hispanic", "race", "HISPANIC", 0},
                   {"age>=15", "age_from", "", 15},
                   {"age>=40", "age_from", "", 40},
                   {"age>=65", "age_from", "", 65},
                   {"discharged<30d", "recent", "discharged", 30 / 365.25},
                   {"coronary<1y", "recent", "coronary", 1},
                   {"cancer<2y", "recent", "cancer", 2},
                   {"stroke<1y", "recent", "stroke", 1},
                   {"diabetes<5y", "recent", "diabetes", 5}};
}

void AddDisease(ProcessParameters* p, const std::string& name, const std::string& description,
                Rates rates, Effects effects) {
  std::string code = "DIAGNOSIS//";
  for (const char c : name) {
    code += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  p->conditions.push_back(name);
  p->anchors.push_back(
      {code, description, std::move(rates), std::move(effects), {"!" + name}, {name}, {}, false});
  p->outcomes.push_back(code);
}

void AddDiseases(ProcessParameters* p) {
  AddDisease(p, "asthma", "Asthma", Steps({{0, 0.012}, {15, 0.002}}), {});
  AddDisease(p, "cancer", "Malignant neoplasm", Rising(0.008, 0.6, 20), {{"copd", 0.9}});
  AddDisease(p, "copd", "Chronic obstructive pulmonary disease", Rising(0.004, 0.5, 30),
             {{"asthma", 1.6}});
  AddDisease(p, "coronary", "Coronary artery disease", Rising(0.006, 0.6, 30),
             {{"female", -0.7}, {"hypertension", 0.7}, {"diabetes", 1.0}, {"statin", -0.7}});
  AddDisease(p, "depression", "Depressive disorder", Steps({{0, 1e-7}, {15, 0.008}}),
             {{"female", 0.6}, {"cancer<2y", 1.5}, {"stroke<1y", 1.8}});
  AddDisease(p, "diabetes", "Type 2 diabetes mellitus", Rising(0.012, 0.35, 25),
             {{"hypertension", 0.7}, {"black", 0.5}, {"hispanic", 0.7}});
  AddDisease(p, "heart_failure", "Heart failure", Rising(0.001, 0.5, 30),
             {{"coronary", 1.6}, {"kidney", 1.8}, {"hypertension", 0.6}, {"ace_inhibitor", -0.5}});
  AddDisease(p, "hypertension", "Essential hypertension", Rising(0.035, 0.4, 25),
             {{"diabetes", 0.7}, {"black", 0.5}});
  AddDisease(p, "kidney", "Chronic kidney disease", Rising(0.002, 0.5, 20),
             {{"diabetes", 1.7}, {"hypertension", 1.3}, {"ace_inhibitor", -0.7}});
  AddDisease(p, "stroke", "Ischaemic stroke", Rising(0.002, 0.7, 30),
             {{"hypertension", 1.3}, {"coronary<1y", 1.0}, {"statin", -0.5}});
}

struct Drug {
  std::string name;
  Rates start_rates;
  Effects start_effects;
  Names start_requires;
  double stop_rate;
  Effects stop_effects;
  std::string diagnosis;  // often started with it
  double logit;
};

void AddDrug(ProcessParameters* p, Drug drug) {
  std::string upper;
  for (const char c : drug.name) {
    upper += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  const std::string start = "DRUG//START//" + upper;
  drug.start_requires.push_back("!" + drug.name);
  drug.start_requires.emplace_back("!admitted");
  p->conditions.push_back(drug.name);
  p->anchors.push_back({start,
                        "Start of " + drug.name,
                        std::move(drug.start_rates),
                        std::move(drug.start_effects),
                        drug.start_requires,
                        {drug.name},
                        {},
                        false});
  p->anchors.push_back({"DRUG//STOP//" + upper,
                        "End of " + drug.name,
                        Constant(drug.stop_rate),
                        std::move(drug.stop_effects),
                        {drug.name, "!admitted"},
                        {},
                        {drug.name},
                        false});
  if (!drug.diagnosis.empty()) {
    drug.start_requires.pop_back();
    p->follow_ups.push_back({start,
                             "Start of " + drug.name,
                             {{drug.diagnosis, drug.logit}},
                             {},
                             drug.start_requires,
                             {drug.name},
                             {},
                             std::nullopt});
  }
}

void AddDrugs(ProcessParameters* p) {
  AddDrug(p, {"ace_inhibitor",
              Constant(0.4),
              {},
              {"hypertension"},
              0.04,
              {},
              "DIAGNOSIS//HYPERTENSION",
              1.0});
  AddDrug(p, {"diuretic",
              Constant(0.8),
              {},
              {"heart_failure"},
              0.06,
              {},
              "DIAGNOSIS//HEART_FAILURE",
              1.5});
  AddDrug(p, {"inhaler", Constant(0.4), {}, {"asthma"}, 0.05, {}, "DIAGNOSIS//ASTHMA", 1.5});
  AddDrug(p, {"insulin", Constant(0.12), {{"diabetes<5y", -2.0}}, {"diabetes"}, 0.02, {}, "", 0});
  AddDrug(p, {"metformin",
              Constant(0.4),
              {},
              {"diabetes"},
              0.03,
              {{"kidney", 2.0}},
              "DIAGNOSIS//DIABETES",
              1.0});
  AddDrug(p, {"ssri", Constant(0.3), {}, {"depression"}, 0.08, {}, "DIAGNOSIS//DEPRESSION", 1.0});
  AddDrug(p, {"statin",
              Steps({{0, 1e-7}, {40, 0.012}}),
              {{"coronary", 3.0}, {"diabetes", 2.0}},
              {},
              0.04,
              {},
              "DIAGNOSIS//CORONARY",
              1.5});
}

void AddVisits(ProcessParameters* p) {
  p->anchors.push_back({"CLINIC//ROUTINE",
                        "Routine visit",
                        Steps({{0, 0.5}, {5, 0.25}, {40, 0.5}, {65, 0.7}}),
                        {{"hypertension", 0.3},
                         {"diabetes", 0.5},
                         {"heart_failure", 0.6},
                         {"kidney", 0.4},
                         {"cancer<2y", 1.2},
                         {"coronary<1y", 0.7}},
                        {"!admitted"},
                        {},
                        {},
                        false});
  p->anchors.push_back(
      {"CLINIC//URGENT",
       "Urgent visit",
       Constant(0.15),
       {{"asthma", 0.9}, {"copd", 1.2}, {"inhaler", -0.5}, {"discharged<30d", 1.5}},
       {"!admitted"},
       {},
       {},
       false});
  p->anchors.push_back({"CLINIC//VACCINATION",
                        "Vaccination",
                        Steps({{0, 1.5}, {5, 0.2}, {15, 0.02}, {65, 0.15}}),
                        {},
                        {"!admitted"},
                        {},
                        {},
                        false});
}

void AddAdmissions(ProcessParameters* p) {
  p->anchors.push_back({"ADMISSION//ELECTIVE",
                        "Planned admission",
                        Rising(0.015, 0.2),
                        {{"coronary<1y", 2.0}, {"cancer<2y", 2.5}},
                        {"!admitted"},
                        {"admitted"},
                        {},
                        false});
  p->anchors.push_back({"ADMISSION//EMERGENCY",
                        "Emergency admission",
                        Rising(0.025, 0.35),
                        {{"heart_failure", 1.5},
                         {"copd", 1.0},
                         {"kidney", 0.6},
                         {"stroke<1y", 1.2},
                         {"discharged<30d", 1.5},
                         {"diuretic", -0.5}},
                        {"!admitted"},
                        {"admitted"},
                        {},
                        false});
  p->anchors.push_back(
      {"INPATIENT//ROUND", "Ward round", Constant(350), {}, {"admitted"}, {}, {}, false});
  p->anchors.push_back({"DISCHARGE//HOME",
                        "Discharge home",
                        Constant(110),
                        {{"age>=65", -0.5}, {"heart_failure", -0.5}, {"stroke<1y", -1.0}},
                        {"admitted"},
                        {"discharged"},
                        {"admitted"},
                        false});
  p->anchors.push_back({"DISCHARGE//FACILITY",
                        "Discharge to a nursing facility",
                        Constant(5),
                        {{"age>=65", 1.6}, {"stroke<1y", 1.6}},
                        {"admitted"},
                        {"discharged"},
                        {"admitted"},
                        false});
  p->conditions.emplace_back("admitted");
  p->conditions.emplace_back("discharged");
}

void AddDeath(ProcessParameters* p) {
  p->anchors.push_back({"MEDS_DEATH",
                        "Death",
                        Rising(0.003, 0.95),
                        {{"heart_failure", 2.2},
                         {"kidney", 0.9},
                         {"cancer", 0.7},
                         {"cancer<2y", 1.8},
                         {"copd", 0.6},
                         {"stroke", 0.6},
                         {"stroke<1y", 1.0},
                         {"coronary<1y", 1.0},
                         {"admitted", 2.5}},
                        {},
                        {},
                        {"admitted"},
                        true});
  p->outcomes.insert(p->outcomes.begin(), "MEDS_DEATH");
}

void AddLaboratory(ProcessParameters* p, const std::string& code, const std::string& description,
                   std::vector<FollowUpChance> chances, Effects effects,
                   LaboratoryParameters distribution) {
  p->follow_ups.push_back({code,
                           description,
                           std::move(chances),
                           std::move(effects),
                           {},
                           {},
                           {},
                           std::move(distribution)});
}

void AddLaboratories(ProcessParameters* p) {
  const std::string routine = "CLINIC//ROUTINE";
  const std::string urgent = "CLINIC//URGENT";
  const std::string emergency = "ADMISSION//EMERGENCY";
  const std::string round = "INPATIENT//ROUND";
  AddLaboratory(p, "LAB//BNP//pg/mL", "Brain natriuretic peptide",
                {{routine, -5}, {emergency, -1}, {round, -3}}, {{"heart_failure", 4.5}},
                {"lognormal", 4.0, 0.8, 1, 50000, {{"heart_failure", 2.0}}});
  AddLaboratory(p, "LAB//CREATININE//mg/dL", "Creatinine",
                {{routine, -2}, {emergency, 3}, {round, 1}}, {{"kidney", 3.5}, {"diabetes", 1.5}},
                {"lognormal", -0.05, 0.3, 0.1, 30, {{"female", -0.25}, {"kidney", 0.9}}});
  AddLaboratory(p, "LAB//CRP//mg/L", "C-reactive protein",
                {{urgent, 1.5}, {emergency, 2}, {round, 0}}, {},
                {"lognormal", 1.5, 1.0, 0.05, 600, {{"admitted", 1.5}}});
  AddLaboratory(p, "LAB//HBA1C//%", "Haemoglobin A1c", {{routine, -3}}, {{"diabetes", 4.5}},
                {"normal", 5.6, 0.6, 3, 20, {{"diabetes", 2.4}, {"metformin", -1.0}}});
  AddLaboratory(
      p, "LAB//HEMOGLOBIN//g/dL", "Haemoglobin",
      {{routine, -2}, {urgent, -1}, {emergency, 3}, {round, 0.5}}, {{"cancer", 3.0}},
      {"normal", 15.0, 1.4, 3, 22, {{"female", -1.6}, {"kidney", -2.2}, {"cancer", -2.5}}});
  AddLaboratory(p, "LAB//LDL//mg/dL", "Low-density lipoprotein cholesterol", {{routine, -3}},
                {{"age>=40", 2.5}, {"statin", 1.5}},
                {"normal", 120, 28, 10, 400, {{"age>=40", 20}, {"statin", -55}}});
  AddLaboratory(p, "VITAL//FEV1//%", "Forced expiratory volume in one second, of predicted",
                {{routine, -5}, {urgent, -3}}, {{"asthma", 4.0}, {"copd", 5.0}},
                {"normal", 98, 14, 10, 150, {{"asthma", -15}, {"copd", -35}}});
  AddLaboratory(p, "VITAL//SBP//mm[Hg]", "Systolic blood pressure",
                {{routine, -2.5}, {urgent, -1}, {emergency, 3}, {round, 2}}, {{"age>=15", 4.0}},
                {"normal",
                 108,
                 11,
                 50,
                 280,
                 {{"age>=40", 14}, {"hypertension", 30}, {"ace_inhibitor", -16}}});
}

}  // namespace

ProcessParameters ProcessParameters::Defaults() {
  ProcessParameters p;
  p.age_band_years = kBandYears;
  p.female_probability = 0.5;
  p.races = {{"BLACK", 0.15}, {"HISPANIC", 0.2}, {"OTHER", 0.1}, {"WHITE", 0.55}};
  AddCovariates(&p);
  AddDiseases(&p);
  AddDrugs(&p);
  AddVisits(&p);
  AddAdmissions(&p);
  AddDeath(&p);
  AddLaboratories(&p);
  std::sort(p.follow_ups.begin(), p.follow_ups.end(),
            [](const auto& a, const auto& b) { return a.code < b.code; });
  const double censored_a_year = 0.006;
  p.censoring_rate_per_year.assign(kBands, censored_a_year);
  for (int band = 0; band < kBands; ++band) {
    if (MidAge(band) > 60) {
      p.censoring_rate_per_year[static_cast<std::size_t>(band)] = 2 * censored_a_year;
    }
  }
  return p;
}

}  // namespace sequela
