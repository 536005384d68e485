// ctest: labels=sanitize;threads timeout=120
// The simulated lives: a function of seed and index alone, in canonical order, with hazards that
// keep their closed-form survival.
#include "dataio/simulator/simulator.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <set>

#include "dataio/simulator/simulator_oracle.h"
#include "kernels/base/errors.h"

namespace sequela {
namespace {

bool Same(const LifeRecord& a, const LifeRecord& b) {
  const auto same_event = [](const LifeEvent& x, const LifeEvent& y) {
    return x.time_us == y.time_us && x.code == y.code &&
           (x.value == y.value || (std::isnan(x.value) && std::isnan(y.value)));
  };
  return a.subject_id == b.subject_id && a.split == b.split && a.female == b.female &&
         a.race == b.race && a.birth_us == b.birth_us &&
         std::equal(a.events.begin(), a.events.end(), b.events.begin(), b.events.end(), same_event);
}

// A process of constant hazards a year: healthy -> ill, and death from both.
ProcessParameters IllnessAndDeath(double onset, double death, double death_when_ill) {
  ProcessParameters p;
  p.races = {{"ANY", 1.0}};
  p.conditions = {"ill"};
  p.censoring_rate_per_year = {0.0};
  p.anchors = {{.code = "ILLNESS",
                .log_rate_per_year = {std::log(onset)},
                .requires_all = {"!ill"},
                .sets = {"ill"}},
               {.code = "MEDS_DEATH",
                .log_rate_per_year = {std::log(death)},
                .effects = {{"ill", std::log(death_when_ill / death)}},
                .ends_life = true}};
  p.outcomes = {"MEDS_DEATH", "ILLNESS"};
  return p;
}

TEST(SimulatorTest, LifeIsAFunctionOfSeedAndIndex) {
  const LifeProcess process(ProcessParameters::Defaults());
  EXPECT_TRUE(Same(SimulateLife(process, 7, 3), SimulateLife(process, 7, 3)));
  EXPECT_FALSE(Same(SimulateLife(process, 7, 3), SimulateLife(process, 8, 3)));
  EXPECT_NE(SimulateLife(process, 7, 3).birth_us, SimulateLife(process, 7, 4).birth_us);
}

TEST(SimulatorTest, ParametersSurviveJsonToTheBit) {
  const ProcessParameters parameters = ProcessParameters::Defaults();
  const LifeProcess process(parameters);
  const LifeProcess read(ProcessParameters::FromJson(parameters.ToJson()));
  for (int i = 0; i < 20; ++i) {
    EXPECT_TRUE(Same(SimulateLife(process, 1, i), SimulateLife(read, 1, i)));
  }
}

TEST(SimulatorTest, EveryTenSubjectsHaveOneOfEachSmallSplit) {
  for (int block = 0; block < 50; ++block) {
    std::array<int, 3> count{};
    for (int i = 0; i < 10; ++i) {
      ++count[static_cast<std::size_t>(SimulatedSplit(5, block * 10 + i))];
    }
    EXPECT_EQ(count, (std::array<int, 3>{8, 1, 1}));
  }
}

TEST(SimulatorTest, EventsStandInCanonicalOrder) {
  const LifeProcess process(ProcessParameters::Defaults());
  for (int i = 0; i < 200; ++i) {
    const LifeRecord life = SimulateLife(process, 2, i);
    bool admission = false;
    std::int64_t last_us = life.birth_us;
    std::string_view last_code;
    for (const LifeEvent& event : life.events) {
      ASSERT_GE(event.time_us, last_us);
      if (event.time_us == last_us) {
        ASSERT_TRUE(admission || last_code < event.code) << last_code << ", " << event.code;
      }
      admission = event.time_us > last_us && event.code.starts_with("ADMISSION");
      last_us = event.time_us;
      last_code = event.code;
    }
  }
}

TEST(SimulatorTest, NothingFollowsDeathAndOnsetsComeOnce) {
  const LifeProcess process(ProcessParameters::Defaults());
  for (int i = 0; i < 200; ++i) {
    const LifeRecord life = SimulateLife(process, 3, i);
    std::set<std::string_view> onsets;
    for (std::size_t k = 0; k < life.events.size(); ++k) {
      const std::string_view code = life.events[k].code;
      EXPECT_TRUE(code != "MEDS_DEATH" || k + 1 == life.events.size());
      EXPECT_TRUE(!code.starts_with("DIAGNOSIS") || onsets.insert(code).second) << code;
    }
  }
}

// Death alone, rising by age bands: the share alive at each age against exp(-sum of rates).
TEST(SimulatorTest, SurvivalFollowsTheHazardsOfTheAgeBands) {
  ProcessParameters p = IllnessAndDeath(1e-12, 1.0, 1.0);
  p.censoring_rate_per_year.assign(20, 0.0);
  p.anchors[0].log_rate_per_year.assign(20, -40.0);
  for (int band = 0; band < 20; ++band) {
    p.anchors[1].log_rate_per_year.resize(20);
    p.anchors[1].log_rate_per_year[static_cast<std::size_t>(band)] = std::log(0.002 * (1 + band));
  }
  const LifeProcess process(p);
  constexpr int kLives = 20000;
  std::array<int, 20> alive{};
  for (int i = 0; i < kLives; ++i) {
    const LifeRecord life = SimulateLife(process, 4, i);
    const double age = static_cast<double>(life.events.back().time_us - life.birth_us);
    for (std::size_t band = 0; band < 20; ++band) {
      alive[band] += age > 5.0 * static_cast<double>(band + 1) * kMicrosecondsPerYear ? 1 : 0;
    }
  }
  double hazard = 0;
  for (std::size_t band = 0; band < 20; ++band) {
    hazard += 5 * 0.002 * static_cast<double>(1 + band);
    const double expected = std::exp(-hazard);
    const double error = std::sqrt(expected * (1 - expected) / kLives);
    EXPECT_NEAR(alive[band] / double{kLives}, expected, 4 * error) << "band " << band;
  }
}

TEST(SimulatorTest, RisksAgreeWithTheIllnessDeathModel) {
  const double onset = 0.08;
  const double death = 0.02;
  const double death_ill = 0.15;
  const LifeProcess process(IllnessAndDeath(onset, death, death_ill));
  const LifeState born = process.Born(false, 0, 0);
  for (const double years : {1.0, 3.0, 5.0, 10.0, 30.0}) {
    const auto risks = RisksWithin(process, born, 1'000'000,
                                   std::llround(years * kMicrosecondsPerYear), {1, 0}, 40000, 9);
    // The integrals of Kolmogorov's forward equations.
    const double leaving = onset + death;
    const double healthy = std::exp(-leaving * years);
    const double ill = onset / (leaving - death_ill) * (std::exp(-death_ill * years) - healthy);
    EXPECT_NEAR(risks[0].probability, 1 - healthy - ill, 4 * risks[0].standard_error) << years;
    EXPECT_NEAR(risks[1].probability, onset / leaving * (1 - healthy), 4 * risks[1].standard_error)
        << years;
  }
}

TEST(SimulatorTest, WrongParametersAreRefusedByName) {
  const auto refused = [](auto change, const char* name) {
    ProcessParameters p = ProcessParameters::Defaults();
    change(p);
    try {
      const LifeProcess process(p);
      ADD_FAILURE() << "accepted: " << name;
    } catch (const InputError& error) {
      EXPECT_NE(std::string(error.what()).find(name), std::string::npos) << error.what();
    }
  };
  refused([](auto& p) { p.anchors[0].log_rate_per_year.pop_back(); }, "DIAGNOSIS//ASTHMA");
  refused([](auto& p) { p.anchors[1].effects = {{"gout", 1.0}}; }, "gout");
  refused([](auto& p) { p.covariates[0].kind = "height"; }, "female");
  refused([](auto& p) { p.follow_ups[0].code = "ZZZ"; }, "ascending");
  refused([](auto& p) { p.follow_ups[0].chances = {{"VITAL//X", 0.0}}; }, "VITAL//X");
  refused([](auto& p) { p.outcomes.push_back("GOUT"); }, "GOUT");
}

}  // namespace
}  // namespace sequela
