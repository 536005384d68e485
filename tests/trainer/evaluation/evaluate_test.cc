// ctest: labels=sanitize;threads timeout=120
// Evaluation of a run on a tiny store. Truth: logits of whole chains and fp64 softmax here in the
// test, without windows, sums in fixed point or code groups.
#include "trainer/evaluation/evaluate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <thread>

#include "dataio/loader/window_table.h"
#include "kernels/base/atomic_file.h"
#include "kernels/base/errors.h"
#include "runtime/checkpoint.h"
#include "runtime/checkpoint/state_file.h"
#include "runtime/safetensors_writer.h"
#include "runtime/step_timer.h"
#include "tests/testing/temp_folder.h"
#include "tests/testing/tiny_store.h"
#include "trainer/experiment/experiment_yaml.h"
#include "trainer/experiment/run_weights.h"
#include "trainer/model/decoder.h"
#include "trainer/model/hf_model.h"
#include "trainer/training/train_loop.h"

namespace sequela {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// Of every target of the split, by the definition.
struct Truth {
  double nll = 0.0, corrected_nll = 0.0, code_nll = 0.0, first_code_nll = 0.0;
  double targets = 0.0, events = 0.0, first = 0.0, top1 = 0.0, top5 = 0.0;
  std::map<TokenKind, double> kind_nll, kind_targets;
};

class EvaluateTest : public ::testing::Test {
 protected:
  // Chains of at most about 130 tokens lie in one window of 256.
  EvaluateTest() { testing::WriteTinyStore(folder_ / "store"); }

  StoredRun TrainRun(const std::vector<std::string>& overrides = {}) {
    Experiment experiment = ParseExperiment(
        "data: {context_length: 256, global_batch_tokens: 512}\n"
        "model: {num_hidden_layers: 1, hidden_size: 16, intermediate_size: 32,\n"
        "        num_attention_heads: 2, num_key_value_heads: 2}\n"
        "optimizer: {learning_rate: 0.01}\n"
        "schedule: {steps: 30, warmup_steps: 2}\n"
        "parallel: {threads: 1}\n"
        "evaluation: {every_steps: 10}\n",
        "tiny.yaml");
    experiment.data.store = (folder_ / "store").string();
    experiment.run.folder = (folder_ / "run").string();
    for (const std::string& text : overrides) ApplyOverride(text, experiment);
    Train(experiment, {}, World::Instance());
    return OpenRun(experiment.run.folder);
  }

  static Truth TruthOf(const StoredRun& run, Split split, const std::filesystem::path& checkpoint) {
    const ChainStore store = ChainStore::Open(run.experiment.data.store);
    const WindowTable windows(store, {.split = split, .context_length = 256});
    Decoder decoder(LoadModelConfig(checkpoint), {.max_tokens = 256, .with_backward = false});
    FlatBuffers buffers(decoder.table(), DType::kFloat32, false);
    ModelWeights(checkpoint, decoder.table()).ReadAll(buffers);
    Truth truth;
    for (std::int64_t w = 0; w < windows.size(); ++w) {
      EXPECT_EQ(windows[w].context_begin, windows[w].fresh_begin) << "one window a chain";
      Batch batch;
      windows.AppendTo(w, {}, &batch);
      AddWindow(run, store, windows, w, batch, decoder, buffers, truth);
    }
    return truth;
  }

  static void AddWindow(const StoredRun& run, const ChainStore& store, const WindowTable& windows,
                        std::int64_t w, const Batch& batch, Decoder& decoder, FlatBuffers& buffers,
                        Truth& truth) {
    const Vocabulary& vocabulary = store.vocabulary();
    const auto V = static_cast<std::size_t>(vocabulary.size());
    std::vector<float> logits(batch.token.size() * V);
    decoder.Logits(buffers, batch, logits);
    const ChainView chain = store.chain(windows[w].subject);
    std::set<std::uint32_t> seen;
    for (const auto code : chain.code.first(static_cast<std::size_t>(windows[w].context_begin))) {
      seen.insert(code);
    }
    std::int64_t place = windows[w].context_begin - windows.HeadLength(w) + 1;
    for (std::size_t t = 0; t < batch.token.size(); ++t, ++place) {
      if (batch.target[t] < 0) continue;
      const std::span<const float> row(logits.data() + t * V, V);
      const auto target = static_cast<std::size_t>(batch.target[t]);
      const auto& weights = run.identity.target_weights;
      const auto probability = [&](bool corrected, auto&& chosen) {
        double part = 0.0, all = 0.0;
        for (std::size_t v = 0; v < V; ++v) {
          const double weight = corrected && !weights.empty() ? weights[v] : 1.0;
          const double e = std::exp(static_cast<double>(row[v])) / weight;
          all += e;
          if (chosen(v)) part += e;
        }
        return part / all;
      };
      const auto is_target = [&](std::size_t v) { return v == target; };
      const TokenEntry& entry = vocabulary[batch.target[t]];
      const double corrected = -std::log(probability(true, is_target));
      truth.nll -= std::log(probability(false, is_target));
      truth.corrected_nll += corrected;
      truth.targets += 1;
      truth.kind_nll[entry.kind] += corrected;
      truth.kind_targets[entry.kind] += 1;
      const auto score = [&](std::size_t v) {
        return static_cast<double>(row[v]) - (weights.empty() ? 0.0 : std::log(weights[v]));
      };
      int better = 0;
      for (std::size_t v = 0; v < V; ++v) better += score(v) > score(target) ? 1 : 0;
      truth.top1 += better < 1 ? 1 : 0;
      truth.top5 += better < 5 ? 1 : 0;
      const std::uint32_t code = chain.code[static_cast<std::size_t>(place)];
      if (code == kNoCode) continue;
      const double code_nll = -std::log(probability(true, [&](std::size_t v) {
        const TokenEntry& other = vocabulary[static_cast<std::int32_t>(v)];
        return v == target || (!entry.code.empty() && other.code == entry.code &&
                               other.kind != TokenKind::kStatic);
      }));
      truth.events += 1;
      truth.code_nll += code_nll;
      if (seen.insert(code).second) {
        truth.first += 1;
        truth.first_code_nll += code_nll;
      }
    }
  }

  static void ExpectAgreement(const EvaluationReport& report, const Truth& truth) {
    EXPECT_EQ(static_cast<double>(report.targets), truth.targets);
    EXPECT_EQ(static_cast<double>(report.events), truth.events);
    EXPECT_NEAR(report.nll_per_token.value, truth.corrected_nll / truth.targets, 1e-5);
    EXPECT_NEAR(report.nll_per_event.value, truth.corrected_nll / truth.events, 1e-5);
    EXPECT_NEAR(report.code_nll_per_event.value, truth.code_nll / truth.events, 1e-5);
    EXPECT_NEAR(report.first_occurrences.code_nll_per_event, truth.first_code_nll / truth.first,
                1e-5);
    EXPECT_EQ(static_cast<double>(report.first_occurrences.events), truth.first);
    EXPECT_NEAR(report.top1.value, truth.top1 / truth.targets, 1e-9);
    EXPECT_NEAR(report.top5.value, truth.top5 / truth.targets, 1e-9);
    for (const auto& part : report.by_kind) {
      for (const auto& [kind, nll] : truth.kind_nll) {
        if (part.name != NameOf(kind)) continue;
        EXPECT_NEAR(part.nll_per_token, nll / truth.kind_targets.at(kind), 1e-5) << part.name;
      }
    }
  }

  std::filesystem::path Checkpoint(std::int64_t step) const {
    return folder_ / "run" / "checkpoints" / CheckpointName(step);
  }

  // Another text of a checkpoint's file, listed with its right size and CRC.
  void Forge(std::int64_t step, const std::string& name, const std::string& text) const {
    const WrittenFile written = WriteText(Checkpoint(step) / name, text);
    CheckpointState state = ReadState(Checkpoint(step));
    for (WrittenFile& file : state.files) {
      if (file.name == name) file = written;
    }
    WriteText(Checkpoint(step) / "state.json", StateToJson(state));
  }
  // The last weights of the file.
  void ForgeWeights(std::int64_t step, std::size_t count, float value) const {
    std::string text = ReadFile(Checkpoint(step) / "model.safetensors");
    for (std::size_t i = 1; i <= count; ++i) {
      std::memcpy(text.data() + text.size() - i * sizeof(value), &value, sizeof(value));
    }
    Forge(step, "model.safetensors", text);
  }
  static std::string RefusalOf(const StoredRun& run, const EvaluationRequest& request = {}) {
    try {
      Evaluate(run, request, World::Instance());
    } catch (const InputError& error) {
      return error.what();
    }
    return "accepted";
  }

  testing::TempFolder folder_;
};

TEST_F(EvaluateTest, RefusesWeightsAndScoresThatAreNoNumbers) {
  const StoredRun run = TrainRun();
  ForgeWeights(30, 1, NAN);
  EXPECT_THAT(RefusalOf(run, {.step = 30}),
              AllOf(HasSubstr("model.safetensors: tensor model."), HasSubstr("no finite numbers")));
  EXPECT_LT(Evaluate(run, {.newest = true}, World::Instance()).checkpoint_step, 30);
  ForgeWeights(30, 400, 1e38F);  // what is computed from them overflows
  EXPECT_THAT(RefusalOf(run, {.newest = true}), HasSubstr("a score of this evaluation is"));
}

TEST_F(EvaluateTest, ReadsARunWithoutTheOptimizersFiles) {
  const StoredRun run = TrainRun();
  const EvaluationReport before = Evaluate(run, {}, World::Instance());
  for (const auto& entry : std::filesystem::recursive_directory_iterator(run.checkpoints())) {
    if (entry.path().filename().string().starts_with("optimizer")) {
      std::filesystem::remove(entry.path());
    }
  }
  const EvaluationReport after = Evaluate(run, {}, World::Instance());
  EXPECT_EQ(after.checkpoint_step, before.checkpoint_step);
  EXPECT_EQ(after.nll_per_token.value, before.nll_per_token.value);
}

// As a run with keep_last: 1 does it, but every few times that reading takes: the one checkpoint is
// always there under some name, and no name stays.
TEST_F(EvaluateTest, ReadsARunThatReplacesItsCheckpoints) {
  const StoredRun run = TrainRun({"evaluation.every_steps=0"});
  const double expected = Evaluate(run, {}, World::Instance()).nll_per_token.value;
  const auto open = [&] {
    return OpenRunWeights(run, {.newest = true}, World::Instance().communicator());
  };
  const Stopwatch watch;
  open();
  const auto pause = std::chrono::duration<double>(3.0 * watch.Seconds());
  std::jthread writer([&](const std::stop_token& stop) {
    for (std::int64_t step = 30; !stop.stop_requested(); ++step) {
      const std::filesystem::path aside = Checkpoint(step).string() + ".deleting";
      std::filesystem::copy(Checkpoint(step), Checkpoint(step + 1).string() + ".partial");
      std::filesystem::rename(Checkpoint(step + 1).string() + ".partial", Checkpoint(step + 1));
      std::filesystem::rename(Checkpoint(step), aside);
      std::filesystem::remove_all(aside);
      std::this_thread::sleep_for(pause);
    }
  });
  std::string refusal = "accepted";
  for (int i = 0; i < 40 && refusal == "accepted"; ++i) {
    refusal = RefusalOf(run);
    EXPECT_EQ(open().choice, "newest");
  }
  writer = {};  // stops and joins
  EXPECT_EQ(refusal, "accepted");
  EXPECT_EQ(Evaluate(run, {}, World::Instance()).nll_per_token.value, expected);
}

TEST_F(EvaluateTest, RefusesAModelThatIsNotTheRuns) {
  const StoredRun run = TrainRun();
  const std::string config = ReadFile(Checkpoint(30) / "config.json");
  auto json = nlohmann::json::parse(config);
  json["num_hidden_layers"] = 900;
  Forge(30, "config.json", json.dump());
  EXPECT_THAT(RefusalOf(run, {.newest = true}),
              AllOf(HasSubstr("not those of the model in config.json"), HasSubstr("missing")));
  Forge(30, "config.json", config);
  StoredRun weighted = run;
  weighted.identity.target_weights = {1.0F, 2.0F};
  EXPECT_THAT(RefusalOf(weighted), HasSubstr("target_weights has 2 numbers"));
  testing::WriteTinyStore(folder_ / "small", {.num_codes = 12});
  const StoredRun small = TrainRun({"data.store=" + (folder_ / "small").string(),
                                    "run.folder=" + (folder_ / "small_run").string()});
  std::filesystem::remove_all(run.checkpoints());
  std::filesystem::rename(small.checkpoints(), run.checkpoints());
  EXPECT_THAT(RefusalOf(run), HasSubstr("tokens, the vocabulary of"));
}

TEST_F(EvaluateTest, NeverAdvisesToRemoveARun) {
  const StoredRun run = TrainRun();
  EXPECT_THAT(RefusalOf(run, {.step = 7}), HasSubstr("no checkpoint of step 7"));
  for (const auto& entry : std::filesystem::recursive_directory_iterator(run.checkpoints())) {
    if (entry.path().filename() == "model.safetensors") WriteText(entry.path(), "short");
  }
  EXPECT_THAT(RefusalOf(run),
              AllOf(HasSubstr("no checkpoint here is whole"), ::testing::Not(HasSubstr("emove"))));
}

TEST_F(EvaluateTest, AgreesWithTheDefinitionOnWholeChains) {
  const StoredRun run = TrainRun();
  const EvaluationReport report = Evaluate(run, {}, World::Instance());
  ExpectAgreement(report, TruthOf(run, Split::kHeldOut, Checkpoint(report.checkpoint_step)));
  EXPECT_FALSE(report.uncorrected_nll_per_token.has_value());
}

TEST_F(EvaluateTest, TakesBalanceWeightsOffTheLogits) {
  const StoredRun run = TrainRun({"objective.event_balance_alpha=0.5"});
  const EvaluationReport report = Evaluate(run, {.split = Split::kTuning}, World::Instance());
  const Truth truth = TruthOf(run, Split::kTuning, Checkpoint(report.checkpoint_step));
  ExpectAgreement(report, truth);
  ASSERT_TRUE(report.uncorrected_nll_per_token.has_value());
  EXPECT_NEAR(report.uncorrected_nll_per_token->value, truth.nll / truth.targets, 1e-5);
}

TEST_F(EvaluateTest, WindowsOfShortContextHoldTheSameTargets) {
  const StoredRun run = TrainRun({"data.context_length=32"});
  const EvaluationReport report = Evaluate(run, {}, World::Instance());
  std::int64_t in_ranges = 0;
  for (const auto& part : report.by_context) in_ranges += part.targets;
  EXPECT_EQ(in_ranges, report.targets);
  EXPECT_EQ(report.first_occurrences.events + report.repeats.events, report.events);
}

TEST_F(EvaluateTest, ChoosesTheBestCheckpointUnlessAskedOtherwise) {
  // A learning rate that changes nothing: the first evaluation is the best.
  const StoredRun run = TrainRun({"optimizer.learning_rate=1e-30"});
  EXPECT_EQ(Evaluate(run, {}, World::Instance()).checkpoint_step, 10);
  EXPECT_EQ(Evaluate(run, {.newest = true}, World::Instance()).checkpoint_step, 30);
  EXPECT_EQ(Evaluate(run, {.step = 10}, World::Instance()).checkpoint_step, 10);
}

TEST_F(EvaluateTest, RefusesAStoreOfAnotherVocabulary) {
  const StoredRun run = TrainRun();
  testing::WriteTinyStore(folder_ / "other", {.num_codes = 12});
  try {
    Evaluate(run, {.store = folder_ / "other"}, World::Instance());
    FAIL();
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), HasSubstr("--vocabulary"));
  }
}

TEST_F(EvaluateTest, FormsHoldTheContractsKeysAndFitTheTerminal) {
  const EvaluationReport report = Evaluate(TrainRun(), {}, World::Instance());
  const auto json = nlohmann::json::parse(ReportToJson(report));
  for (const char* key : {"split", "targets", "events", "nll_per_token", "nll_per_event",
                          "perplexity", "top1", "top5", "top10", "by_kind", "unigram_nll_per_token",
                          "bigram_nll_per_token", "nll_per_token_interval", "trigram_nll_per_token",
                          "copy_last_nll_per_token", "code_nll_per_event", "by_context"}) {
    EXPECT_TRUE(json.contains(key)) << key;
  }
  EXPECT_LE(json["nll_per_token_interval"][0], json["nll_per_token"]);
  EXPECT_GE(json["nll_per_token_interval"][1], json["nll_per_token"]);
  std::istringstream table(ReportToTable(report));
  for (std::string line; std::getline(table, line);) {
    if (line.find(folder_.path().string()) == std::string::npos) {
      EXPECT_LE(line.size(), 80U) << line;
    }
  }
}

// Tuning while training goes on and `evaluate` read one pass: the figures are the same bits, whatever
// windows share a batch.
TEST_F(EvaluateTest, OnTuningFindsWhatTrainingFound) {
  for (const char* alpha : {"1", "0.5"}) {
    const StoredRun run = TrainRun(
        {std::string("objective.event_balance_alpha=") + alpha,
         std::string("run.folder=") + (folder_ / (std::string("tuned") + alpha)).string()});
    std::istringstream lines(ReadFile(run.folder / "metrics.jsonl"));
    nlohmann::json last;
    for (std::string line; std::getline(lines, line);) {
      const auto json = nlohmann::json::parse(line);
      if (json.value("split", "") == "tuning") last = json;
    }
    const EvaluationReport report =
        Evaluate(run, {.split = Split::kTuning, .newest = true}, World::Instance());
    EXPECT_EQ(report.checkpoint_step, last.at("step"));
    EXPECT_EQ(report.targets, last.at("targets"));
    EXPECT_EQ(report.events, last.at("events"));
    EXPECT_EQ(report.nll_per_token.value, last.at("nll_per_token"));
    EXPECT_EQ(report.nll_per_event.value, last.at("nll_per_event"));
    EXPECT_EQ(report.top1.value, last.at("top1"));
  }
}

}  // namespace
}  // namespace sequela
