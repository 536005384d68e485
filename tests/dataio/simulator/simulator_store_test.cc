// ctest: timeout=240 arrow
// Simulated lives through Parquet and ingest into a store, and the truth about that store.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "dataio/ingest/ingest.h"
#include "dataio/simulator/oracle_report.h"
#include "dataio/simulator/simulator.h"
#include "kernels/base/errors.h"
#include "tests/testing/temp_folder.h"

namespace sequela {
namespace {

class SimulatorStoreTest : public ::testing::Test {
 protected:
  void Simulate(const std::string& name, SimulationOptions options) {
    WriteSimulation(folder_.path() / name, ProcessParameters::Defaults(), options);
  }
  ChainStore Ingested(const std::string& name) {
    IngestOptions options;
    options.source = folder_.path() / name;
    options.out = folder_.path() / (name + "-store");
    options.memory_bytes = 128 << 20;
    Ingest(options);
    return ChainStore::Open(options.out);
  }

  testing::TempFolder folder_;
};

TEST_F(SimulatorStoreTest, TruthOfAStoreHasTheExpectedNll) {
  Simulate("lives", {.subjects = 600, .seed = 1, .shards = 2});
  const ChainStore store = Ingested("lives");
  const OracleReport report = MakeOracleReport(
      store, {.split = Split::kTrain, .threads = 2, .risk_subjects = 2, .futures = 500});
  EXPECT_EQ(report.subjects, 480);
  EXPECT_LT(std::abs(report.nll - report.expected), 4 * report.standard_error);
  EXPECT_GT(report.targets, report.events);
  for (const OracleReport::Outcome& outcome : report.outcomes) {
    const double deviation = static_cast<double>(outcome.events) - outcome.expected_events;
    EXPECT_LT(std::abs(deviation), 4 * std::sqrt(outcome.expected_events) + 1) << outcome.code;
    EXPECT_GT(outcome.age_sex_excess, 0.0);
  }
}

TEST_F(SimulatorStoreTest, DistributionsOfAStoreSumToOne) {
  Simulate("lives", {.subjects = 60, .seed = 2});
  const ChainStore store = Ingested("lives");
  const SimulatorOracle oracle = SimulatorOracle::ForStore(store);
  std::vector<double> distribution;
  for (std::int64_t s = 0; s < store.num_subjects(); s += 7) {
    const ChainView chain = store.chain(s);
    for (std::int64_t i = 3; i < chain.size(); i += 11) {
      if (!IsTarget(store.vocabulary()[chain.token(i)])) {
        continue;
      }
      oracle.TokenDistribution(chain, i, &distribution);
      double sum = 0;
      for (const double p : distribution) {
        sum += p;
      }
      EXPECT_NEAR(sum, 1.0, 1e-9);
      EXPECT_GT(distribution[static_cast<std::size_t>(chain.token(i))], 0.0);
    }
  }
}

TEST_F(SimulatorStoreTest, ShardsAndThreadsChangeNothing) {
  Simulate("one", {.subjects = 50, .seed = 3});
  Simulate("many", {.subjects = 50, .seed = 3, .shards = 7, .threads = 3});
  EXPECT_EQ(Ingested("one").content_hash(), Ingested("many").content_hash());
}

TEST_F(SimulatorStoreTest, CorruptedRecordsAreIngestedAndRefusedByTheOracle) {
  for (const std::string& option : CorruptionOptions()) {
    Simulate(option, {.subjects = 100, .seed = 4, .corruptions = {option}});
    const ChainStore store = Ingested(option);
    EXPECT_GT(store.num_tokens(), 1000) << option;
    try {
      SimulatorOracle::ForStore(store);
      ADD_FAILURE() << option << " was not refused";
    } catch (const InputError& error) {
      EXPECT_NE(std::string(error.what()).find(option), std::string::npos);
    }
  }
  EXPECT_THROW(Simulate("x", {.subjects = 1, .seed = 1, .corruptions = {"martians"}}), InputError);
}

}  // namespace
}  // namespace sequela
