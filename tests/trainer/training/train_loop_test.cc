// ctest: labels=sanitize;threads timeout=120
// The training loop on a tiny store, in this process: what a run leaves behind, and that an
// interrupted run becomes the uninterrupted one bit for bit.
#include "trainer/training/train_loop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "kernels/base/atomic_file.h"
#include "kernels/base/errors.h"
#include "runtime/checkpoint.h"
#include "tests/testing/temp_folder.h"
#include "tests/testing/tiny_store.h"
#include "trainer/experiment/experiment_fields.h"
#include "trainer/experiment/experiment_yaml.h"
#include "trainer/experiment/run_folder.h"
#include "trainer/training/run/training_progress.h"

namespace sequela {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr std::int64_t kSteps = 9;

const std::set<std::string> kDeterministic = {
    "step",  "tokens", "targets",       "loss", "gradient_norm", "learning_rate",
    "split", "events", "nll_per_token", "top1", "nll_per_event"};

class TrainLoopTest : public ::testing::Test {
 protected:
  TrainLoopTest() {
    testing::WriteTinyStore(folder_ / "store");
    experiment_ = ParseExperiment(
        "seed: 3\n"
        "data: {context_length: 64, global_batch_tokens: 256}\n"
        "model: {num_hidden_layers: 1, hidden_size: 16, intermediate_size: 32,\n"
        "        num_attention_heads: 2, num_key_value_heads: 1, dropout: 0.1}\n"
        "schedule: {steps: 9, warmup_steps: 2}\n"
        "parallel: {threads: 1}\n"
        "checkpoint: {every_steps: 2}\n"
        "evaluation: {every_steps: 4}\n",
        "tiny.yaml");
    experiment_.data.store = (folder_ / "store").string();
    experiment_.run.folder = (folder_ / "run").string();
  }

  Experiment With(const std::vector<std::string>& overrides) const {
    Experiment experiment = experiment_;
    for (const std::string& text : overrides) ApplyOverride(text, experiment);
    return experiment;
  }
  void TrainWith(const std::vector<std::string>& overrides = {}, const TrainOptions& options = {}) {
    Train(With(overrides), options, World::Instance());
  }
  // Starts again after every stop; returns how often it was stopped.
  int TrainThroughStops(const std::vector<std::string>& overrides) {
    for (int stops = 0; stops < 100; ++stops) {
      try {
        TrainWith(overrides);
        return stops;
      } catch (const StopRequested&) {
      }
    }
    return 100;
  }
  template <typename Error = InputError>
  std::string ErrorWith(const std::vector<std::string>& overrides,
                        const TrainOptions& options = {}) {
    try {
      TrainWith(overrides, options);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }

  std::vector<nlohmann::json> Metrics(const std::string& run) const {
    std::vector<nlohmann::json> lines;
    std::ifstream in(folder_ / run / "metrics.jsonl");
    for (std::string line; std::getline(in, line);) {
      const auto all = nlohmann::json::parse(line);
      nlohmann::json kept;
      for (const auto& [key, value] : all.items()) {
        if (kDeterministic.contains(key)) kept[key] = value;
      }
      lines.push_back(kept);
    }
    return lines;
  }
  nlohmann::json Summary(const std::string& run) const {
    return nlohmann::json::parse(ReadFile(folder_ / run / "summary.json"));
  }
  std::string FinalWeights(const std::string& run, std::int64_t step = kSteps) const {
    return ReadFile(folder_ / run / "checkpoints" / CheckpointName(step) / "model.safetensors");
  }

  testing::TempFolder folder_;
  Experiment experiment_;
};

TEST_F(TrainLoopTest, LeavesEverythingThatTheContractNames) {
  TrainWith();
  EXPECT_EQ(ReadFile(folder_ / "run" / "experiment.yaml"), ExperimentToYaml(experiment_));
  const auto lines = Metrics("run");
  ASSERT_EQ(lines.size(), kSteps + 3);  // evaluations after steps 4, 8 and 9
  EXPECT_EQ(lines[3]["step"], 4);
  EXPECT_EQ(lines[4]["split"], "tuning");
  EXPECT_EQ(Summary("run")["steps"], kSteps);
  EXPECT_EQ(Summary("run")["stopped_early"], false);
  const auto found = FindCheckpoint(folder_ / "run" / "checkpoints");
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->step, kSteps);
  EXPECT_EQ(found->best_step, Summary("run")["best_step"]);
  EXPECT_TRUE(fs::exists(folder_ / "run" / "checkpoints" / CheckpointName(found->best_step)));
}

TEST_F(TrainLoopTest, InitializerRangeScalesTheFirstWeights) {
  const auto root_mean_square = [&](const std::string& run) {
    const fs::path checkpoint = folder_ / run / "checkpoints" / CheckpointName(1);
    const SafetensorsModel model = OpenWeights(checkpoint);
    const SafetensorsEntry& entry = model.Get("model.layers.0.mlp.gate_proj.weight");
    std::vector<float> values(static_cast<std::size_t>(entry.num_elements()));
    model.ReadFloats(entry.name, entry.shape, values);
    double sum = 0.0;
    for (const float value : values) sum += static_cast<double>(value) * value;
    return std::sqrt(sum / static_cast<double>(values.size()));
  };
  const std::string still = "optimizer.learning_rate=1e-30";
  const std::string steps = "schedule.steps=1";
  const std::string warmup = "schedule.warmup_steps=0";
  TrainWith({still, warmup, steps, "run.folder=" + (folder_ / "plain").string()});
  TrainWith({still, warmup, steps, "model.initializer_range=0.2",
             "run.folder=" + (folder_ / "wide").string()});
  EXPECT_NEAR(root_mean_square("plain"), 0.02, 0.002);  // of 512 normal values
  EXPECT_NEAR(root_mean_square("wide") / root_mean_square("plain"), 10.0, 1e-3);
}

TEST_F(TrainLoopTest, InitFromChecksTheFilesAndNeedsNoneOfTheOptimizers) {
  TrainWith();
  const fs::path checkpoint = folder_ / "run" / "checkpoints" / CheckpointName(kSteps);
  fs::remove(checkpoint / "optimizer-rank-00000-of-00001.safetensors");
  const std::string other = "run.folder=" + (folder_ / "other").string();
  TrainWith({other, "model.initializer_range=0.05"}, {.init_from = checkpoint});
  fs::remove_all(folder_ / "other");
  std::string bytes = ReadFile(checkpoint / "model.safetensors");
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  std::ofstream(checkpoint / "model.safetensors", std::ios::binary) << bytes;
  EXPECT_THAT(ErrorWith({other}, {.init_from = checkpoint}), HasSubstr("CRC-32C"));
}

// JSON has no NaN: a loss that is none must not make a checkpoint unreadable.
TEST_F(TrainLoopTest, ProgressReadsBackWhateverTheLoss) {
  TrainingProgress progress{.step = 7, .tokens = 100, .targets = 90};
  progress.last_loss = NAN;
  progress.best_nll = 1.25;
  const FoundCheckpoint found{.folder = "checkpoint",
                              .trainer_state = ProgressToJson(progress, {.row = 12}, "hash")};
  const RestoredProgress restored = ProgressFromJson(found);
  EXPECT_TRUE(std::isnan(restored.progress.last_loss));
  EXPECT_EQ(restored.progress.best_nll, 1.25);
  EXPECT_EQ(restored.progress.step, 7);
  EXPECT_EQ(restored.loader.row, 12);
  FoundCheckpoint damaged = found;
  damaged.trainer_state = R"({"loader_row": -3})";
  EXPECT_THROW(ProgressFromJson(damaged), InputError);
}

TEST_F(TrainLoopTest, RefusesSizesBeyondAllMeasure) {
  EXPECT_THAT(ErrorWith({"data.global_batch_tokens=1000000000000000"}),
              AllOf(HasSubstr("data.global_batch_tokens"), HasSubstr("more than 100 times")));
  EXPECT_THAT(ErrorWith({"parallel.microbatch_tokens=1000000000000000"}),
              HasSubstr("parallel.microbatch_tokens"));
  EXPECT_THAT(ErrorWith({"schedule.steps=0", "schedule.epochs=999999999"}),
              AllOf(HasSubstr("schedule.epochs"), HasSubstr("schedule.steps")));
}

TEST_F(TrainLoopTest, LearnsSomething) {
  TrainWith({"schedule.steps=60", "optimizer.learning_rate=0.01"});
  const auto lines = Metrics("run");
  EXPECT_LT(lines.back()["nll_per_token"].get<double>(),
            0.85 * lines.front()["loss"].get<double>());
}

TEST_F(TrainLoopTest, AnInterruptedRunBecomesTheUninterruptedOne) {
  TrainWith();
  const std::string other = "run.folder=" + (folder_ / "stopped").string();
  EXPECT_EQ(TrainThroughStops({other, "run.time_limit_minutes=1e-9"}), kSteps);
  EXPECT_EQ(Metrics("stopped"), Metrics("run"));
  EXPECT_EQ(FinalWeights("stopped"), FinalWeights("run"));
}

TEST_F(TrainLoopTest, AResumeFromAnOlderCheckpointDropsTheLinesAfterIt) {
  TrainWith();
  const auto metrics = Metrics("run");
  const std::string weights = FinalWeights("run");
  // As if it had been killed after step 9 was recorded, before its checkpoint was whole.
  fs::remove_all(folder_ / "run" / "checkpoints" / CheckpointName(kSteps));
  fs::remove(folder_ / "run" / "summary.json");
  TrainWith();
  EXPECT_EQ(Metrics("run"), metrics);
  EXPECT_EQ(FinalWeights("run"), weights);
}

TEST_F(TrainLoopTest, ThreadsRecomputeAndCheckpointsChangeNoBit) {
  TrainWith();
  TrainWith({"run.folder=" + (folder_ / "other").string(), "parallel.threads=2",
             "parallel.recompute=full", "parallel.zero_stage=0", "checkpoint.every_steps=0"});
  EXPECT_EQ(Metrics("other"), Metrics("run"));
  EXPECT_EQ(FinalWeights("other"), FinalWeights("run"));
}

TEST_F(TrainLoopTest, AFinishedRunIsLeftAsItIs) {
  TrainWith();
  const std::string before = ReadFile(folder_ / "run" / "metrics.jsonl");
  TrainWith();
  EXPECT_EQ(ReadFile(folder_ / "run" / "metrics.jsonl"), before);
}

TEST_F(TrainLoopTest, RefusesAChangedResultFieldByName) {
  TrainWith();
  EXPECT_THAT(ErrorWith({"optimizer.learning_rate=0.5"}),
              AllOf(HasSubstr("optimizer.learning_rate"), HasSubstr("0.5"), HasSubstr("0.001")));
}

TEST_F(TrainLoopTest, GoesOnForMoreStepsWithConstantDecay) {
  TrainWith({"schedule.decay=constant"});
  TrainWith({"schedule.decay=constant", "schedule.steps=12"});
  const auto longer = Metrics("run");
  TrainWith({"schedule.decay=constant", "schedule.steps=12",
             "run.folder=" + (folder_ / "at_once").string()});
  EXPECT_EQ(FinalWeights("run", 12), FinalWeights("at_once", 12));
}

TEST_F(TrainLoopTest, RefusesAnotherStoreUnderTheSameName) {
  TrainWith();
  fs::remove_all(folder_ / "store");
  testing::WriteTinyStore(folder_ / "store", {.seed = 2});
  EXPECT_THAT(ErrorWith({}), HasSubstr("data.store"));
}

TEST_F(TrainLoopTest, ADryRunAndABadStartWriteNothing) {
  TrainWith({}, {.dry_run = true});
  EXPECT_FALSE(fs::exists(folder_ / "run"));
  EXPECT_THAT(ErrorWith({"data.store=/nowhere/store"}), HasSubstr("/nowhere/store"));
  EXPECT_THAT(ErrorWith({"schedule.steps=0", "schedule.epochs=0.001"}), HasSubstr("warmup_steps"));
  EXPECT_THAT(ErrorWith({"data.store="}), HasSubstr("data.store is not set"));
  EXPECT_THAT(ErrorWith({"parallel.device=cuda"}), HasSubstr("parallel.device"));
  EXPECT_FALSE(fs::exists(folder_ / "run"));
}

TEST_F(TrainLoopTest, RefusesAFolderThatHoldsSomethingElse) {
  fs::create_directory(folder_ / "run");
  std::ofstream(folder_ / "run" / "thesis.txt") << "precious";
  EXPECT_THAT(ErrorWith({}), HasSubstr("no run of sequela train"));
  EXPECT_EQ(ReadFile(folder_ / "run" / "thesis.txt"), "precious");
}

TEST_F(TrainLoopTest, StopsWhenPatienceIsOver) {
  // Too small a learning rate to change a weight: no evaluation is better than the first.
  TrainWith({"optimizer.learning_rate=1e-30", "evaluation.every_steps=1", "evaluation.patience=2"});
  EXPECT_EQ(Summary("run")["steps"], 3);
  EXPECT_EQ(Summary("run")["best_step"], 1);
  EXPECT_EQ(Summary("run")["stopped_early"], true);
}

TEST_F(TrainLoopTest, StartsFromAnotherRunsWeights) {
  TrainWith({"schedule.steps=60", "optimizer.learning_rate=0.01"});
  const std::string other = "run.folder=" + (folder_ / "tuned").string();
  TrainWith({other}, {.init_from = folder_ / "run"});
  EXPECT_LT(Metrics("tuned").front()["loss"].get<double>(),
            0.85 * Metrics("run").front()["loss"].get<double>());
  EXPECT_EQ(OpenRun(folder_ / "tuned").identity.init_from, (folder_ / "run").string());
  const std::string third = "run.folder=" + (folder_ / "third").string();
  EXPECT_THAT(ErrorWith({third, "model.hidden_size=32"}, {.init_from = folder_ / "run"}),
              HasSubstr("head_dim"));
}

TEST_F(TrainLoopTest, InitFromRefusesAsManyTokensOfOtherMeanings) {
  TrainWith();
  std::vector<TokenEntry> tokens = testing::TinyVocabulary(20).tokens();
  for (TokenEntry& entry : tokens) {
    if (entry.text == "CODE//19") entry.text = entry.code = "CODE//other";
  }
  const Vocabulary vocabulary(tokens);
  std::vector<testing::TinyChain> chains;
  for (std::int64_t id = 0; id < 20; ++id) {
    testing::TinyChain chain(&vocabulary, id, id % 5 == 0 ? Split::kTuning : Split::kTrain);
    chain.Static("SEX//F").Birth(0);
    for (int event = 0; event < 15; ++event) chain.Event(event * 1'000'000'000'000LL, event);
    chains.push_back(chain.End());
  }
  testing::WriteTinyStore(folder_ / "other-store", vocabulary, chains);
  const std::vector<std::string> other = {"data.store=" + (folder_ / "other-store").string(),
                                          "run.folder=" + (folder_ / "other").string()};
  const fs::path checkpoint = folder_ / "run" / "checkpoints" / CheckpointName(kSteps);
  for (const fs::path& from : {fs::path(folder_ / "run"), checkpoint}) {
    EXPECT_THAT(ErrorWith(other, {.init_from = from}), HasSubstr("vocabulary")) << from;
    EXPECT_FALSE(fs::exists(folder_ / "other"));
  }
  TrainWith(other);
}

TEST_F(TrainLoopTest, BalancedWeightsAreKeptWithTheRun) {
  TrainWith({"objective.event_balance_alpha=0.5"});
  const auto weights = OpenRun(folder_ / "run").identity.target_weights;
  EXPECT_GT(*std::ranges::max_element(weights), 1.0F);
  EXPECT_LT(*std::ranges::min_element(weights), 1.0F);
}

}  // namespace
}  // namespace sequela
