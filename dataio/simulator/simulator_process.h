// A stochastic process of whole lives whose distribution is known in closed form: what `sequela
// simulate` draws from and what `sequela oracle` computes with.
//
// A life is a chain of timestamps. Between timestamps, anchor events and censoring compete with
// hazards that are constant within pieces of time; the pieces end at known moments (age bands,
// durations since an event). The anchor changes the life's conditions; then follow-up events
// (drugs, laboratory results) join the timestamp by independent draws in the order of their codes,
// with probabilities that depend on the conditions. Laboratory values are drawn from known
// distributions and influence nothing.
//
// Time is discrete in microseconds, and exactly so: a continuous time in the cell (n-1, n] is
// recorded as n, and hazards are constant in a cell. Hazards are log-linear in 0/1 covariates.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kernels/base/philox.h"

namespace sequela {

inline constexpr std::int64_t kMicrosecondsPerSecond = 1'000'000;
inline constexpr std::int64_t kMicrosecondsPerDay = 86'400 * kMicrosecondsPerSecond;
inline constexpr double kMicrosecondsPerYear = 365.25 * static_cast<double>(kMicrosecondsPerDay);

// A 0/1 function of a life's static facts, age and recorded events. Every condition is a covariate
// under its own name without being declared.
struct CovariateParameters {
  std::string name;
  std::string kind;  // "female", "race", "age_from", "recent"
  std::string of;    // race: the race's name; recent: the condition
  double years =
      0;  // age_from: 1 from that age on; recent: 1 until so long after `of` was last set
};

// exp(weight) multiplies a hazard; in follow-ups `weight` is added to a logit, in laboratories to a
// mean.
struct EffectParameters {
  std::string covariate;
  double weight = 0;
};

// An event that begins a timestamp.
struct AnchorParameters {
  std::string code;
  std::string description;
  std::vector<double> log_rate_per_year;  // [age bands], where all covariates are 0
  std::vector<EffectParameters> effects;
  std::vector<std::string> requires_all;  // covariates that must be 1, or with '!' before them 0
  std::vector<std::string> sets;          // conditions that become present
  std::vector<std::string> clears;        // and absent
  bool ends_life = false;
};

// Values of a laboratory: normal, or normal in the logarithm, conditioned on [lower, upper] and
// rounded to float32.
struct LaboratoryParameters {
  std::string shape;  // "normal", "lognormal"
  double mean = 0;    // lognormal: of the logarithm, likewise deviation and effects
  double deviation = 1;
  double lower = 0;  // in the value's own unit
  double upper = 0;
  std::vector<EffectParameters> effects;  // shifts of the mean
};

// How likely a follow-up joins a timestamp of one anchor.
struct FollowUpChance {
  std::string anchor;  // its code
  double logit = 0;
};

// An event that may join a timestamp after its anchor, at most once.
struct FollowUpParameters {
  std::string code;
  std::string description;
  std::vector<FollowUpChance> chances;  // anchors not named here never have it
  std::vector<EffectParameters> effects;
  std::vector<std::string> requires_all;
  std::vector<std::string> sets;
  std::vector<std::string> clears;
  std::optional<LaboratoryParameters> laboratory;
};

struct RaceParameters {
  std::string name;  // recorded as RACE//<name>
  double probability = 0;
};

// The whole process. Defaults() is the process of the quickstart; the JSON form is what
// metadata/simulation.json carries, and reads back to the same bits.
struct ProcessParameters {
  double age_band_years = 5;
  double female_probability = 0.5;
  std::vector<RaceParameters> races;
  std::vector<std::string> conditions;          // at most 64
  std::vector<CovariateParameters> covariates;  // with the conditions at most 64
  std::vector<AnchorParameters> anchors;
  std::vector<FollowUpParameters> follow_ups;   // ascending bytewise by code
  std::vector<double> censoring_rate_per_year;  // [age bands]; the last band is open
  std::vector<std::string>
      outcomes;  // codes of anchors whose distribution is reported: death first

  static ProcessParameters Defaults();
  std::string ToJson() const;
  static ProcessParameters FromJson(const std::string& json);  // throws InputError
};

// A life at one moment: a function of its static facts and its recorded events.
struct LifeState {
  static constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::min();
  bool female = false;
  int race = 0;
  std::int64_t birth_us = 0;
  std::int64_t now_us = 0;                // time of the last timestamp; at first the birth
  std::uint64_t conditions = 0;           // bit c: condition c is present
  std::vector<std::int64_t> last_set_us;  // [conditions], kNever
  int anchor = -1;                        // of the timestamp at now_us; -1 at birth
  int last_follow_up = -1;                // of that timestamp; -1: none yet
  bool ended = false;
};

// The distribution of one laboratory's value in one state.
struct LaboratoryDistribution {
  bool logarithmic = false;
  double mean = 0;
  double deviation = 1;
  double lower = 0;  // bounds and `mean` in the normal's scale (logarithmic or not)
  double upper = 0;

  // P(value <= edge) of the value as recorded, rounding to float32 included.
  double CumulativeProbability(float edge) const;
  float Draw(PhiloxStream* random) const;
};

// The parameters, checked and ready for arithmetic. Immutable; safe for concurrent use.
class LifeProcess {
 public:
  // Throws InputError naming the parameter that is wrong.
  explicit LifeProcess(ProcessParameters parameters);

  const ProcessParameters& parameters() const { return parameters_; }
  int num_anchors() const { return static_cast<int>(anchors_.size()); }
  int num_follow_ups() const { return static_cast<int>(follow_ups_.size()); }
  int num_conditions() const { return static_cast<int>(parameters_.conditions.size()); }
  // Index of the anchor or follow-up with this code, or -1.
  int FindAnchor(std::string_view code) const;
  int FindFollowUp(std::string_view code) const;
  int FindCondition(std::string_view name) const;

  LifeState Born(bool female, int race, std::int64_t birth_us) const;
  void ApplyAnchor(int anchor, std::int64_t time_us, LifeState* state) const;
  void ApplyFollowUp(int follow_up, LifeState* state) const;

  // Cells n with time_us <= n <= the result have the covariates and hazards of cell `time_us`.
  std::int64_t LastCellLike(const LifeState& state, std::int64_t time_us) const;
  // Hazards per microsecond in cell `time_us` > state.now_us: of each anchor into `rates`
  // ([num_anchors()]); returns their sum.
  double AnchorRates(const LifeState& state, std::int64_t time_us, std::span<double> rates) const;
  // Whether the anchor's requirements hold now, so that it can happen at once.
  bool AnchorIsOpen(const LifeState& state, int anchor) const;
  double CensoringRate(const LifeState& state, std::int64_t time_us) const;

  // P(this follow-up joins the present timestamp | it is its turn); the state's anchor is set.
  double FollowUpProbability(const LifeState& state, int follow_up) const;
  bool has_laboratory(int follow_up) const;
  bool changes_conditions(int follow_up) const;
  LaboratoryDistribution Laboratory(const LifeState& state,
                                    int follow_up) const;  // REQUIRES: has_laboratory

 private:
  enum class CovariateKind : std::uint8_t { kFemale, kRace, kAgeFrom, kRecent };
  struct Covariate {  // bit = num_conditions() + its index
    CovariateKind kind;
    int of = 0;  // race or condition
    std::int64_t duration_us = 0;
  };
  struct Effect {
    std::uint64_t bit;
    double weight;  // anchors: the factor exp(weight)
  };
  struct Gate {
    std::uint64_t on = 0;
    std::uint64_t off = 0;
    bool Open(std::uint64_t covariates) const {
      return (covariates & on) == on && (covariates & off) == 0;
    }
  };
  struct Change {
    std::uint64_t sets = 0;
    std::uint64_t clears = 0;
  };
  struct Anchor {
    std::vector<double> rate_per_us;  // [age bands]
    std::vector<Effect> factors;
    Gate gate;
    Change change;
  };
  struct FollowUp {
    std::vector<double> logit;  // [anchors]; -infinity: never
    std::vector<Effect> effects;
    std::vector<Effect> shifts;  // of the laboratory's mean
    Gate gate;
    Change change;
  };

  std::uint64_t Bit(const std::string& covariate, const std::string& where) const;
  Gate CompileGate(const std::vector<std::string>& names, const std::string& where) const;
  Change CompileChange(const std::vector<std::string>& sets, const std::vector<std::string>& clears,
                       const std::string& where) const;
  std::vector<Effect> CompileEffects(const std::vector<EffectParameters>& effects,
                                     bool exponentiate, const std::string& where) const;
  void CompileCovariates();
  void CompileAnchors();
  void CompileFollowUps();
  void CheckOrder() const;
  std::uint64_t CovariatesAt(const LifeState& state, std::int64_t time_us) const;
  int AgeBand(const LifeState& state, std::int64_t time_us) const;
  static void Apply(const Change& change, LifeState* state);

  ProcessParameters parameters_;
  std::int64_t age_band_us_ = 0;
  int num_bands_ = 0;
  std::vector<double> censoring_per_us_;  // [age bands]
  std::vector<Covariate> covariates_;
  std::vector<Anchor> anchors_;
  std::vector<FollowUp> follow_ups_;
};

// What ends the present timestamp's wait: an anchor, or censoring (anchor -1).
struct NextEvent {
  std::int64_t time_us = 0;
  int anchor = -1;
};
// Draws the next anchor after start_us >= state.now_us (nothing having happened since). Without
// `censored` the clock of censoring stands still.
NextEvent DrawNextEvent(const LifeProcess& process, const LifeState& state, std::int64_t start_us,
                        bool censored, PhiloxStream* random);

}  // namespace sequela
