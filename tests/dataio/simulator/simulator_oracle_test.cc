// ctest: labels=sanitize timeout=240
// The oracle's closed forms against numerical integration, against its own Monte Carlo, and against
// what the simulated chains show.
#include "dataio/simulator/simulator_oracle.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "dataio/simulator/process/next_timestamp_distribution.h"
#include "kernels/base/errors.h"
#include "tests/testing/simulated_chains.h"

namespace sequela {
namespace {

#if defined(SEQUELA_SANITIZED)
constexpr int kDraws = 4000;
constexpr int kLives = 150;
#else
constexpr int kDraws = 40000;
constexpr int kLives = 1000;
#endif

class SimulatorOracleTest : public testing::Test {
 protected:
  SimulatorOracleTest()
      : process_(ProcessParameters::Defaults()),
        chains_(process_, /*seed=*/11, kLives),
        oracle_(chains_.Oracle()) {}

  // The longest chain of the first lives, and positions in it after which a token of each kind
  // stands.
  std::int64_t LongChain() const {
    std::int64_t longest = 0;
    for (std::int64_t i = 0; i < 60; ++i) {
      longest = chains_.chain(i).size() > chains_.chain(longest).size() ? i : longest;
    }
    return longest;
  }

  // One token after `state`, by the simulator's own draws: -1 where censoring came first.
  std::int32_t DrawContinuation(const LifeState& state, PhiloxStream* random) const {
    // Follow-ups of the present timestamp beyond the last: rejection of those before it is not
    // needed, since the draws are independent and begin after state.last_follow_up.
    for (int f = state.last_follow_up + 1; f < process_.num_follow_ups(); ++f) {
      if (random->NextUniform() < process_.FollowUpProbability(state, f)) {
        const auto& code = process_.parameters().follow_ups[static_cast<std::size_t>(f)].code;
        const float value =
            process_.has_laboratory(f) ? process_.Laboratory(state, f).Draw(random) : std::nanf("");
        return TokenOf(code, value);
      }
    }
    const NextEvent next = DrawNextEvent(process_, state, state.now_us, true, random);
    if (next.anchor < 0) {
      return -1;
    }
    return chains_.vocabulary().GapToken((next.time_us - state.now_us) / 1'000'000);
  }

  std::int32_t TokenOf(const std::string& code, float value) const {
    std::int32_t found = -1;
    for (std::int32_t t = 0; t < chains_.vocabulary().size(); ++t) {
      const TokenEntry& entry = chains_.vocabulary()[t];
      if (entry.code == code &&
          (!entry.has_numeric_bin() || (entry.bin_lower < value && value <= entry.bin_upper))) {
        found = t;
      }
    }
    return found;
  }

  struct Agreement {
    int quantities = 0;
    double worst = 0;  // in standard errors
  };
  // Frequencies of drawn continuations of a chain against `oracle`'s distribution at the same
  // positions.
  Agreement CompareContinuations(const SimulatorOracle& oracle, int positions) const {
    Agreement agreement;
    const ChainView chain = chains_.chain(LongChain());
    PhiloxStream random(5, 5, 5);
    std::vector<double> distribution;
    int taken = 0;
    for (std::int64_t i = chain.size() / 3; taken < positions; ++i) {
      const bool continues = chain.code[static_cast<std::size_t>(i - 1)] != kNoCode;
      if (!continues || i % 7 != 0) {
        continue;
      }
      ++taken;
      const LifeState state = oracle_.StateBefore(chain, i);
      oracle.TokenDistribution(chain, i, &distribution);
      std::map<std::int32_t, int> count;
      int observed = 0;
      for (int d = 0; d < kDraws; ++d) {
        const std::int32_t token = DrawContinuation(state, &random);
        count[token] += 1;
        observed += token >= 0 ? 1 : 0;
      }
      for (std::int32_t t = 0; t < chains_.vocabulary().size(); ++t) {
        const double p = distribution[static_cast<std::size_t>(t)];
        const double error = std::sqrt(p * (1 - p) / observed);
        if (p * observed < 20 || (1 - p) * observed < 20) {
          continue;
        }
        ++agreement.quantities;
        const double frequency = static_cast<double>(count[t]) / observed;
        agreement.worst = std::max(agreement.worst, std::abs(frequency - p) / error);
      }
    }
    return agreement;
  }

  const LifeProcess process_;
  const SimulatedChains chains_;
  const SimulatorOracle oracle_;
};

TEST_F(SimulatorOracleTest, EveryDistributionSumsToOne) {
  std::vector<double> distribution;
  const ChainView chain = chains_.chain(LongChain());
  int distributions = 0;
  for (std::int64_t i = 3; i < chain.size(); i += 3) {
    if (IsTarget(chains_.vocabulary()[chain.token(i)])) {
      oracle_.TokenDistribution(chain, i, &distribution);
      double sum = 0;
      for (const double p : distribution) {
        EXPECT_GE(p, 0.0);
        sum += p;
      }
      EXPECT_NEAR(sum, 1.0, 1e-12) << "position " << i;
      ++distributions;
    }
  }
  EXPECT_GT(distributions, 30);
}

TEST_F(SimulatorOracleTest, NllOfSimulatedChainsIsTheExpectedEntropy) {
  std::vector<double> log_probability;
  std::vector<double> entropy;
  double difference = 0;
  double variance = 0;
  for (std::int64_t i = 0; i < chains_.size(); ++i) {
    const ChainView chain = chains_.chain(i);
    oracle_.LogProbabilities(chain, &log_probability, &entropy);
    double of_chain = 0;
    for (std::size_t k = 0; k < log_probability.size(); ++k) {
      const bool is_target =
          IsTarget(chains_.vocabulary()[chain.token(static_cast<std::int64_t>(k))]);
      ASSERT_EQ(std::isnan(log_probability[k]), !is_target);
      if (is_target) {
        ASSERT_TRUE(std::isfinite(log_probability[k])) << "life " << i << " token " << k;
        of_chain += -log_probability[k] - entropy[k];
      }
    }
    difference += of_chain;
    variance += of_chain * of_chain;
  }
  EXPECT_LT(std::abs(difference), 4 * std::sqrt(variance));
}

// Independent of the piecewise closed form: the density lambda(s) exp(-int(lambda + c)) by the
// midpoint rule on a fine grid.
TEST_F(SimulatorOracleTest, GapMassesAgreeWithNumericalIntegration) {
  const ChainView chain = chains_.chain(LongChain());
  const LifeState state = oracle_.StateBefore(chain, chain.size() / 2);
  const double day = static_cast<double>(kMicrosecondsPerDay);
  const std::vector<double> cuts = {0, day, 30 * day, 400 * day, 2000 * day, kNoCut};
  std::vector<double> mass(cuts.size() - 1);
  NextTimestampMasses(process_, state, cuts, mass);
  std::vector<double> rates(static_cast<std::size_t>(process_.num_anchors()));
  double survival = 1;
  for (std::size_t k = 0; k + 2 < cuts.size(); ++k) {
    constexpr int kSteps = 20000;
    const double step = (cuts[k + 1] - cuts[k]) / kSteps;
    double integral = 0;
    for (int i = 0; i < kSteps; ++i) {
      const auto at = state.now_us + 1 + static_cast<std::int64_t>(cuts[k] + (i + 0.5) * step);
      const double events = process_.AnchorRates(state, at, rates);
      const double total = events + process_.CensoringRate(state, at);
      integral += events * step * survival * std::exp(-0.5 * total * step);
      survival *= std::exp(-total * step);
    }
    EXPECT_NEAR(mass[k], integral, 1e-5 * integral + 1e-12) << "bin " << k;
  }
}

TEST_F(SimulatorOracleTest, DistributionsAgreeWithMonteCarlo) {
  const Agreement agreement = CompareContinuations(oracle_, 6);
  EXPECT_GE(agreement.quantities, 30);
  EXPECT_LT(agreement.worst, 4.0);
  RecordProperty("quantities", agreement.quantities);
}

TEST_F(SimulatorOracleTest, MonteCarloDetectsAWrongParameter) {
  ProcessParameters wrong = ProcessParameters::Defaults();
  for (AnchorParameters& anchor : wrong.anchors) {
    for (double& rate : anchor.log_rate_per_year) {
      rate += anchor.code == "CLINIC//ROUTINE" ? 0.3 : 0.0;
    }
  }
  EXPECT_GT(CompareContinuations(chains_.Oracle(wrong), 6).worst, 4.0);
}

// After an exact time inside the first piece of constant hazards, anchors come by their shares.
TEST_F(SimulatorOracleTest, AnchorsComeByTheirSharesOfTheHazard) {
  const ChainView chain = chains_.chain(LongChain());
  std::int64_t gap = chain.size() / 2;
  while (chains_.vocabulary()[chain.token(gap)].kind != TokenKind::kGap) {
    ++gap;
  }
  const LifeState state = oracle_.StateBefore(chain, gap);
  std::vector<double> distribution;
  oracle_.TokenDistribution(chain, gap + 1, &distribution);
  PhiloxStream random(6, 6, 6);
  std::map<std::int32_t, int> count;
  int total = 0;
  const std::int64_t like = chain.time_us[static_cast<std::size_t>(gap)];
  for (int d = 0; d < 2 * kDraws; ++d) {
    const NextEvent next = DrawNextEvent(process_, state, like - 1, true, &random);
    if (next.anchor >= 0 && next.time_us <= process_.LastCellLike(state, like)) {
      const auto& code = process_.parameters().anchors[static_cast<std::size_t>(next.anchor)].code;
      ++count[TokenOf(code, 0)];
      ++total;
    }
  }
  int quantities = 0;
  for (std::size_t t = 0; t < distribution.size(); ++t) {
    const double p = distribution[t];
    if (p * total > 20 && (1 - p) * total > 20) {
      ++quantities;
      EXPECT_NEAR(static_cast<double>(count[static_cast<std::int32_t>(t)]) / total, p,
                  4 * std::sqrt(p * (1 - p) / total))
          << chains_.vocabulary()[static_cast<std::int32_t>(t)].text;
    }
  }
  EXPECT_GE(quantities, 3);
}

// Floats near 3e7 are 2 apart: the rounding of the recorded value decides half of a bin's mass.
TEST_F(SimulatorOracleTest, RoundingToFloatIsPartOfAValuesDistribution) {
  const LaboratoryDistribution distribution{false, 3e7, 4.0, 2.9e7, 3.1e7};
  PhiloxStream random(7, 7, 7);
  std::map<float, int> count;
  for (int d = 0; d < kDraws; ++d) {
    ++count[distribution.Draw(&random)];
  }
  int quantities = 0;
  for (const auto& [value, times] : count) {
    const float below = std::nextafter(value, 0.0F);
    const double p =
        distribution.CumulativeProbability(value) - distribution.CumulativeProbability(below);
    if (p * kDraws > 20) {
      ++quantities;
      EXPECT_NEAR(static_cast<double>(times) / kDraws, p, 4 * std::sqrt(p * (1 - p) / kDraws));
    }
  }
  EXPECT_GE(quantities, 5);
}

TEST_F(SimulatorOracleTest, TruncatedLogNormalValuesFollowTheirDistribution) {
  const LaboratoryDistribution distribution{true, 0.0, 1.0, std::log(0.5), std::log(3.0)};
  PhiloxStream random(8, 8, 8);
  std::vector<float> values;
  for (int d = 0; d < kDraws; ++d) {
    values.push_back(distribution.Draw(&random));
  }
  for (const float edge : {0.6F, 0.9F, 1.3F, 2.0F, 2.9F}) {
    const double p = distribution.CumulativeProbability(edge);
    const auto below =
        std::count_if(values.begin(), values.end(), [&](float value) { return value <= edge; });
    EXPECT_NEAR(static_cast<double>(below) / kDraws, p, 4 * std::sqrt(p * (1 - p) / kDraws));
  }
  EXPECT_EQ(distribution.CumulativeProbability(0.4F), 0.0);
  EXPECT_EQ(distribution.CumulativeProbability(3.1F), 1.0);
}

TEST_F(SimulatorOracleTest, StateOfAChainIsTheStateOfTheLife) {
  for (std::int64_t i = 0; i < 50; ++i) {
    const LifeRecord& life = chains_.life(i);
    LifeState state = process_.Born(life.female, life.race, life.birth_us);
    for (const LifeEvent& event : life.events) {
      if (event.time_us > state.now_us) {
        process_.ApplyAnchor(process_.FindAnchor(event.code), event.time_us, &state);
      } else {
        process_.ApplyFollowUp(process_.FindFollowUp(event.code), &state);
      }
    }
    const LifeState read = oracle_.StateBefore(chains_.chain(i), chains_.chain(i).size());
    EXPECT_EQ(read.conditions, state.conditions);
    EXPECT_EQ(read.last_set_us, state.last_set_us);
    EXPECT_EQ(read.ended, state.ended);
  }
}

// Codes merged into one fallback token have the sum of their probabilities.
TEST_F(SimulatorOracleTest, MergedCodesHaveTheSumOfTheirProbabilities) {
  SimulatedChains::Options options;
  options.merge_rarer_than = kLives;
  const SimulatedChains merged(process_, 11, 100, options);
  const std::int32_t rare = merged.vocabulary().Find("RARE");
  ASSERT_NE(rare, Vocabulary::kNone);
  const SimulatorOracle oracle = merged.Oracle();
  std::vector<double> distribution;
  std::vector<double> full;
  int compared = 0;
  for (std::int64_t i = 0; i < 20; ++i) {
    const ChainView chain = merged.chain(i);
    for (std::int64_t k = 4; k < chain.size(); ++k) {
      if (merged.vocabulary()[chain.token(k - 1)].kind != TokenKind::kGap) {
        continue;
      }
      oracle.TokenDistribution(chain, k, &distribution);
      oracle_.TokenDistribution(chains_.chain(i), k, &full);
      double sum = 0;
      for (const CodeEntry& entry : merged.codes()) {
        const std::int32_t other = chains_.vocabulary().Find(entry.code);
        if (entry.token == rare && other >= 0) {
          sum += full[static_cast<std::size_t>(other)];
        }
      }
      EXPECT_NEAR(distribution[static_cast<std::size_t>(rare)], sum, 1e-3 * sum + 1e-4);
      ++compared;
    }
  }
  EXPECT_GT(compared, 100);
}

TEST_F(SimulatorOracleTest, BinaryExcessIsTheDivergence) {
  EXPECT_EQ(BinaryExcess(0.3, 0.3), 0.0);
  EXPECT_EQ(BinaryExcess(0.0, 0.0), 0.0);
  EXPECT_NEAR(BinaryExcess(0.5, 0.25), 0.5 * std::log(2.0) + 0.5 * std::log(0.5 / 0.75), 1e-15);
}

TEST_F(SimulatorOracleTest, SettingsThatAreNotCoveredAreRefusedByName) {
  nlohmann::json simulation = {{"format", "sequela-simulation"},
                               {"version", 1},
                               {"unkind", nlohmann::json::array()},
                               {"process", nlohmann::json::parse(process_.parameters().ToJson())}};
  const auto message = [&](const nlohmann::json& tokenization) -> std::string {
    try {
      const SimulatorOracle oracle(simulation.dump(), tokenization.dump(), chains_.vocabulary(),
                                   chains_.codes());
      return "accepted";
    } catch (const InputError& error) {
      return error.what();
    }
  };
  EXPECT_EQ(message({{"order", "canonical"}, {"gap_tokens", true}}), "accepted");
  EXPECT_NE(message({{"order", "source"}}).find("order"), std::string::npos);
  EXPECT_NE(message({{"value_tokens", "none"}}).find("value_tokens"), std::string::npos);
  EXPECT_NE(message({{"gap_tokens", false}}).find("gap_tokens"), std::string::npos);
  simulation["unkind"].push_back("duplicates");
  EXPECT_NE(message({{"order", "canonical"}}).find("duplicates"), std::string::npos);
}

}  // namespace
}  // namespace sequela
