// ctest: labels=sanitize timeout=60
// The experiment: its file, its errors, its hash, what a resume may change. Truth: the contract in
// the headers, written out here by hand.
#include "trainer/experiment/experiment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "kernels/base/atomic_file.h"
#include "kernels/base/errors.h"
#include "trainer/experiment/experiment_fields.h"
#include "trainer/experiment/experiment_yaml.h"

namespace sequela {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

Experiment Parse(const std::string& yaml) { return ParseExperiment(yaml, "my.yaml"); }

template <typename Function>
std::string ErrorOf(Function&& function) {
  try {
    function();
  } catch (const InputError& error) {
    return error.what();
  }
  return "no error";
}

std::string ParseError(const std::string& yaml) {
  return ErrorOf([&] { CheckExperiment(Parse(yaml)); });
}

std::string ResumeError(const std::string& old_yaml, const std::string& new_yaml,
                        std::int64_t step = 50) {
  return ErrorOf([&] { CheckResumable(Parse(old_yaml), Parse(new_yaml), step); });
}

TEST(Experiment, AnEmptyFileGivesTheDefaultsOfTheStructs) {
  EXPECT_EQ(ExperimentToYaml(Parse("")), ExperimentToYaml(Experiment{}));
}

TEST(Experiment, ReadsEveryKindOfValue) {
  const Experiment e = Parse(
      "seed: 900000000000000\n"
      "data: {store: 'a b: c', shuffle: false}\n"
      "model:\n  position: time\n  hidden_size: 64\n"
      "optimizer:\n  learning_rate: 3e-4\n"
      "parallel: {precision: bf16, recompute: full, device: cpu}\n");
  EXPECT_EQ(e.seed, 900000000000000ULL);
  EXPECT_EQ(e.data.store, "a b: c");
  EXPECT_FALSE(e.data.shuffle);
  EXPECT_EQ(e.model.position, PositionKind::kTime);
  EXPECT_EQ(e.model.hidden_size, 64);
  EXPECT_EQ(e.optimizer.learning_rate, 3e-4);
  EXPECT_EQ(e.parallel.precision, DType::kBFloat16);
  EXPECT_EQ(e.parallel.recompute, Recompute::kFull);
  EXPECT_EQ(e.parallel.device, DeviceChoice::kCpu);
}

TEST(Experiment, WhatIsPrintedReadsBackTheSame) {
  Experiment e = Parse("seed: 7\ndata: {store: \"x: [\\\"y\\\"] # z\"}\n");
  e.optimizer.learning_rate = 0.1 + 0.2;
  e.optimizer.beta2 = 1.0 - 0x1p-50;
  const std::string printed = ExperimentToYaml(e);
  const Experiment back = Parse(printed);
  EXPECT_EQ(ExperimentToYaml(back), printed);
  EXPECT_EQ(back.optimizer.learning_rate, e.optimizer.learning_rate);
  EXPECT_EQ(back.optimizer.beta2, e.optimizer.beta2);
  EXPECT_EQ(back.data.store, e.data.store);
}

TEST(Experiment, EveryFieldOfTheTableIsItsOwnMember) {
  std::set<const void*> members;
  std::set<std::string_view> paths;
  Experiment e;
  for (const ExperimentField& field : ExperimentFields()) {
    const void* member = std::visit(
        [](auto ref) -> const void* {
          if constexpr (std::is_same_v<decltype(ref), ChoiceRef>) {
            return ref.index;
          } else {
            return ref;
          }
        },
        field.get(e));
    EXPECT_TRUE(members.insert(member).second) << field.path;
    EXPECT_TRUE(paths.insert(field.path).second) << field.path;
    EXPECT_TRUE(std::holds_alternative<std::string*>(field.get(e)) ||
                !SetField(field, FieldText(field, e), e))
        << field.path << ": its default is outside its range";
  }
}

TEST(ExperimentErrors, NameFileLineColumnAndTheNearestKey) {
  EXPECT_THAT(ParseError("optimizer:\n  learning_rat: 1\n"),
              AllOf(StartsWith("my.yaml:2:3: "), HasSubstr("optimizer.learning_rat"),
                    HasSubstr("nearest known key is optimizer.learning_rate")));
  EXPECT_THAT(ParseError("model:\n  learning_rate: 1\n"),
              HasSubstr("nearest known key is optimizer.learning_rate"));
  EXPECT_THAT(ParseError("optimiser: {beta1: 0.9}\n"), StartsWith("my.yaml:1:1: "));
}

TEST(ExperimentErrors, SayWhatWasFoundAndExpected) {
  EXPECT_THAT(ParseError("data:\n  context_length: many\n"),
              AllOf(StartsWith("my.yaml:2:19: "), HasSubstr("found 'many'"),
                    HasSubstr("a whole number of at least 8")));
  EXPECT_THAT(ParseError("optimizer: {beta1: 1.0}"),
              HasSubstr("a number of at least 0 and below 1"));
  EXPECT_THAT(ParseError("optimizer: {learning_rate: 0}"), HasSubstr("above 0"));
  EXPECT_THAT(ParseError("optimizer: {learning_rate: nan}"), HasSubstr("found 'nan'"));
  EXPECT_THAT(ParseError("model: {position: clock}"), HasSubstr("one of index, time, both"));
  EXPECT_THAT(ParseError("data: {shuffle: yes}"), HasSubstr("true or false"));
  EXPECT_THAT(ParseError("data: {store: [a, b]}"), HasSubstr("expected one value"));
  EXPECT_THAT(ParseError("data: 3"), HasSubstr("indented"));
  EXPECT_THAT(ParseError("data: [1"), HasSubstr("not valid YAML"));
  EXPECT_THAT(ParseError("- a"), HasSubstr("expected sections"));
}

TEST(ExperimentErrors, NumbersAreDecimalAndTheFileIsOneDocument) {
  EXPECT_EQ(Parse("schedule: {warmup_steps: 010}").schedule.warmup_steps, 10);
  EXPECT_THAT(ParseError("schedule: {warmup_steps: 0x10}"), HasSubstr("found '0x10'"));
  EXPECT_THAT(ParseError("seed: 1\n---\nseed: 2\n"), HasSubstr("2 YAML documents"));
  EXPECT_THAT(ParseError("optimizer: {learning_rate: .nan}"), HasSubstr("found '.nan'"));
  EXPECT_THAT(ParseError("data: {store: \"{{ store }}\"}"), HasSubstr("placeholder"));
}

TEST(ExperimentErrors, RefuseAKeyGivenTwice) {
  EXPECT_THAT(ParseError("seed: 1\ndata:\n  shuffle: true\n  shuffle: false\n"),
              AllOf(StartsWith("my.yaml:4:3: "), HasSubstr("given twice")));
}

TEST(ExperimentErrors, RefuseWhatDoesNotFitTogether) {
  EXPECT_THAT(ParseError("model: {num_attention_heads: 4, num_key_value_heads: 3}"),
              HasSubstr("multiple of model.num_key_value_heads"));
  EXPECT_THAT(ParseError("model: {hidden_size: 130}"), HasSubstr("model.head_dim"));
  EXPECT_THAT(ParseError("data: {context_length: 64, context_overlap: 64}"),
              HasSubstr("data.context_overlap"));
  EXPECT_THAT(ParseError("data: {global_batch_tokens: 64}"), HasSubstr("not one window fits"));
  EXPECT_THAT(ParseError("parallel: {microbatch_tokens: 64}"), HasSubstr("not one window fits"));
  EXPECT_THAT(ParseError("schedule: {cooldown_steps: 9}"), HasSubstr("decay: constant"));
  EXPECT_THAT(ParseError("schedule: {steps: 10, warmup_steps: 11}"), HasSubstr("more than"));
  EXPECT_THAT(ParseError("evaluation: {every_steps: 0, patience: 2}"), HasSubstr("needs"));
}

TEST(Overrides, SetAFieldOrSayWhy) {
  Experiment e;
  ApplyOverride("data.store=a=b", e);
  EXPECT_EQ(e.data.store, "a=b");
  EXPECT_THAT(ErrorOf([&] { ApplyOverride("schedule.steps", e); }), HasSubstr("key.path=value"));
  EXPECT_THAT(ErrorOf([&] { ApplyOverride("schedule.step=5", e); }),
              HasSubstr("nearest known key is schedule.steps"));
  EXPECT_THAT(ErrorOf([&] { ApplyOverride("data.store={{ store }}", e); }),
              HasSubstr("placeholder"));
  EXPECT_THAT(ErrorOf([&] { ApplyOverride("schedule.steps=-5", e); }), HasSubstr("at least 0"));
}

TEST(ResultHash, ChangesWithResultFieldsAndTheStoreOnly) {
  const std::string hash = ResultHash(Parse(""), "store-1");
  EXPECT_EQ(hash.size(), 16U);
  EXPECT_EQ(hash, ResultHash(Parse("parallel: {device: cpu, threads: 3, zero_stage: 0, "
                                   "microbatch_tokens: 1024, recompute: full}\n"
                                   "checkpoint: {every_steps: 7, keep_last: 9, keep_every: 3}\n"
                                   "logging: {tensorboard: false}\n"
                                   "run: {folder: r, time_limit_minutes: 3}\n"
                                   "data: {store: elsewhere}\n"),
                             "store-1"));
  EXPECT_NE(hash, ResultHash(Parse(""), "store-2"));
  EXPECT_NE(hash, ResultHash(Parse("parallel: {precision: bf16}"), "store-1"));
  EXPECT_NE(hash, ResultHash(Parse("seed: 2"), "store-1"));
}

TEST(Resume, RefusesAChangedResultFieldByName) {
  EXPECT_EQ(ResumeError("seed: 3", "seed: 3\nparallel: {threads: 2}"), "no error");
  EXPECT_THAT(ResumeError("run: {folder: r}", "optimizer: {beta2: 0.99}"),
              AllOf(HasSubstr("optimizer.beta2: 0.95"), HasSubstr("now says 0.99"),
                    HasSubstr("--init-from r")));
}

TEST(Resume, LetsStepsGrowOnlyWithConstantDecayBeforeItsCooldown) {
  const std::string constant = "schedule: {decay: constant, warmup_steps: 0, cooldown_steps: 20, ";
  EXPECT_EQ(ResumeError(constant + "steps: 100}", constant + "steps: 200}", 80), "no error");
  EXPECT_THAT(ResumeError(constant + "steps: 100}", constant + "steps: 200}", 81),
              HasSubstr("schedule.steps"));
  EXPECT_THAT(ResumeError(constant + "steps: 100}", constant + "steps: 90}", 50),
              HasSubstr("schedule.steps"));
  EXPECT_THAT(ResumeError("schedule: {steps: 100}", "schedule: {steps: 200}"),
              HasSubstr("schedule.steps"));
}

TEST(Documentation, TheCommittedPageIsTheTableOfThisProgram) {
  EXPECT_EQ(ReadFile(std::string(SEQUELA_SOURCE_DIR) + "/docs/experiment-fields.md"),
            ExperimentFieldsPage())
      << "run: sequela train --document-fields > docs/experiment-fields.md";
}

}  // namespace
}  // namespace sequela
