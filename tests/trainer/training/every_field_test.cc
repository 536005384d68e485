// ctest: labels=sanitize;threads timeout=300
// Every field of the experiment's table is read by something: a small training with the field
// changed leaves another outcome (losses, weights, files, planned memory, options, a message) than
// one without the change. The files that only repeat the experiment are no part of an outcome.
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "kernels/base/atomic_file.h"
#include "kernels/base/errors.h"
#include "tests/testing/temp_folder.h"
#include "tests/testing/tiny_store.h"
#include "trainer/experiment/experiment_fields.h"
#include "trainer/experiment/experiment_yaml.h"
#include "trainer/training/memory_plan.h"
#include "trainer/training/run/prepared_run.h"
#include "trainer/training/train_loop.h"

namespace sequela {
namespace {

namespace fs = std::filesystem;
using Overrides = std::vector<std::string>;

// A value that is not the small experiment's, and what else has to be set (in both trainings) for
// the field to be read at all.
struct Change {
  std::string value;
  Overrides with = {};
};

const std::map<std::string, Change>& Changes() {
  static const std::map<std::string, Change> changes = {
      {"seed", {"4"}},
      {"data.store", {"no-such-store"}},
      {"data.context_length", {"48"}},
      {"data.context_overlap", {"16"}},
      {"data.global_batch_tokens", {"512"}},
      {"data.shuffle", {"false"}},
      {"model.num_hidden_layers", {"2"}},
      {"model.hidden_size", {"32"}},
      {"model.intermediate_size", {"64"}},
      {"model.num_attention_heads", {"1"}},
      {"model.num_key_value_heads", {"2"}},
      {"model.head_dim", {"16"}},
      {"model.rope_theta", {"100"}},
      {"model.position", {"index"}},
      {"model.rope_time_fraction", {"0.25"}},
      {"model.rope_time_min_period_seconds", {"6000"}},
      {"model.rope_time_max_period_years", {"20"}},
      {"model.qk_norm", {"true"}},
      {"model.attention_bias", {"true"}},
      {"model.tie_word_embeddings", {"false"}},
      {"model.rms_norm_eps", {"0.001"}},
      {"model.initializer_range", {"0.1"}},
      {"model.dropout", {"0.2"}},
      {"model.attention_dropout", {"0.2"}},
      {"objective.event_balance_alpha", {"0.5"}},
      {"optimizer.learning_rate", {"0.01"}},
      {"optimizer.beta1", {"0.5"}},
      {"optimizer.beta2", {"0.5"}},
      {"optimizer.epsilon", {"0.01"}},
      {"optimizer.weight_decay", {"0.5"}},
      {"optimizer.clip_gradient_norm", {"0.01"}},
      {"schedule.steps", {"5"}},
      {"schedule.epochs", {"2", {"schedule.steps=0", "data.global_batch_tokens=1024"}}},
      {"schedule.warmup_steps", {"3"}},
      {"schedule.decay", {"linear"}},
      {"schedule.final_learning_rate_fraction", {"0.5"}},
      {"schedule.cooldown_steps", {"2", {"schedule.decay=constant"}}},
      {"parallel.device", {"cuda"}},
      {"parallel.precision", {"bf16"}},
      {"parallel.threads", {"2"}},
      {"parallel.zero_stage", {"0"}},
      {"parallel.microbatch_tokens", {"64"}},
      {"parallel.recompute", {"full", {"model.num_hidden_layers=3"}}},
      {"checkpoint.every_steps", {"1"}},
      {"checkpoint.keep_last", {"3"}},
      {"checkpoint.keep_every", {"2"}},
      {"evaluation.every_steps", {"2"}},
      {"evaluation.max_windows", {"1"}},
      {"evaluation.patience", {"1", {"evaluation.every_steps=1", "optimizer.learning_rate=1e-30"}}},
      {"logging.every_steps", {"2"}},
      {"logging.tensorboard", {"false"}},
      {"run.folder", {"elsewhere"}},
      {"run.time_limit_minutes", {"1e-9"}},
  };
  return changes;
}

// Fields that a single process cannot show, and the test that does.
const std::map<std::string, std::string>& SeenByOthers() {
  static const std::map<std::string, std::string> tests = {
      {"checkpoint.deadline_seconds", "tests/end_to_end/faults_test.cc"},
      {"parallel.check_replicas_every_steps", "tests/trainer/training/replicas_mpi_test.cc"},
  };
  return tests;
}

class EveryFieldTest : public ::testing::Test {
 protected:
  EveryFieldTest() { testing::WriteTinyStore(folder_ / "store"); }

  // Trains in a folder of its own; what came of it, without times.
  std::string OutcomeOf(const Overrides& overrides) {
    const fs::path root = folder_ / ("outcome-" + std::to_string(++outcomes_));
    fs::create_directory(root);
    Experiment experiment = ParseExperiment(
        "seed: 3\n"
        "data: {context_length: 64, global_batch_tokens: 256}\n"
        "model: {num_hidden_layers: 1, hidden_size: 16, intermediate_size: 32,\n"
        "        num_attention_heads: 2, num_key_value_heads: 1, dropout: 0.1}\n"
        "schedule: {steps: 6, warmup_steps: 2}\n"
        "parallel: {device: cpu, threads: 1}\n"
        "checkpoint: {every_steps: 2}\n"
        "evaluation: {every_steps: 3}\n"
        "run: {folder: run}\n",
        "tiny.yaml");
    experiment.data.store = (folder_ / "store").string();
    for (const std::string& text : overrides) ApplyOverride(text, experiment);
    experiment.run.folder = (root / experiment.run.folder).string();
    std::string outcome;
    try {
      CheckExperiment(experiment);
      outcome = OptionsText(experiment);
      Train(experiment, {}, World::Instance());
    } catch (const InputError& error) {
      outcome += std::string("refused: ") + error.what();
    } catch (const StopRequested&) {
      outcome += "stopped\n";
    }
    return outcome + FilesText(root);
  }

  // What is decided before the training begins: threads, and memory of one rank of two.
  static std::string OptionsText(const Experiment& experiment) {
    const PreparedRun setup(experiment, {.dry_run = true}, World::Instance());
    const MemoryPlan plan = PlanMemory(setup.config, setup.state_options, 2);
    return fmt::format("threads {}, bytes {} {} {} {}\n", setup.state_options.decoder.num_threads,
                       plan.weight_bytes, plan.gradient_bytes, plan.optimizer_bytes,
                       plan.activation_bytes);
  }

  static std::string FilesText(const fs::path& root) {
    static const std::set<std::string> timed = {"metrics.jsonl", "summary.json", "state.json"};
    static const std::set<std::string> repeated = {"experiment.yaml", "run.json", "config.json"};
    std::map<std::string, std::string> files;
    for (const auto& entry : fs::recursive_directory_iterator(root)) {
      if (!entry.is_regular_file()) continue;
      const std::string name = entry.path().filename().string();
      const bool is_events = name.starts_with("events.");  // its name holds the time and the host
      const std::string bytes = ReadFile(entry.path());
      std::string& text = files[is_events ? "events" : fs::relative(entry.path(), root).string()];
      if (name == "metrics.jsonl") text = MetricsText(bytes);
      if (is_events) text = std::to_string(bytes.size());
      if (name == "model.safetensors")
        text = fmt::format("{:016x}", std::hash<std::string>{}(bytes));
    }
    std::string all;
    for (const auto& [name, text] : files) all += name + ": " + text + "\n";
    return all;
  }

  static std::string MetricsText(const std::string& bytes) {
    static const std::set<std::string> exact = {
        "step",  "tokens", "targets",       "loss", "gradient_norm", "learning_rate",
        "split", "events", "nll_per_token", "top1", "nll_per_event"};
    std::istringstream in(bytes);
    std::string text;
    for (std::string line; std::getline(in, line);) {
      const auto all = nlohmann::json::parse(line);
      for (const auto& [key, value] : all.items()) {
        if (exact.contains(key)) text += fmt::format("{} {} ", key, value.dump());
      }
    }
    return text;
  }

  testing::TempFolder folder_;
  int outcomes_ = 0;
};

TEST_F(EveryFieldTest, ChangesTheOutcome) {
  std::map<std::string, std::string> plain;  // outcomes without the change, by what goes with it
  for (const ExperimentField& field : ExperimentFields()) {
    const std::string path(field.path);
    if (SeenByOthers().contains(path)) continue;
    ASSERT_TRUE(Changes().contains(path)) << path << ": no value to try";
    const Change& change = Changes().at(path);
    std::string& without = plain[fmt::format("{}", fmt::join(change.with, " "))];
    if (without.empty()) without = OutcomeOf(change.with);
    Overrides overrides = change.with;
    overrides.push_back(path + "=" + change.value);
    EXPECT_NE(OutcomeOf(overrides), without) << path << ": nothing reads this field";
  }
}

TEST_F(EveryFieldTest, TheSameExperimentHasTheSameOutcome) {
  EXPECT_EQ(OutcomeOf({}), OutcomeOf({}));
}

TEST(EveryField, WhatAnotherTestShowsIsNamedThere) {
  for (const auto& [path, file] : SeenByOthers()) {
    EXPECT_NE(FindField(path), nullptr) << path;
    EXPECT_NE(ReadFile(fs::path(SEQUELA_SOURCE_DIR) / file).find(path), std::string::npos) << path;
  }
}

}  // namespace
}  // namespace sequela
