// ctest: labels=sanitize;threads timeout=120
// What the loader promises, checked against the store itself.
#include "dataio/loader/batch_loader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "dataio/loader/evaluation_windows.h"
#include "dataio/loader/packer.h"
#include "kernels/base/errors.h"
#include "tests/testing/temp_folder.h"
#include "tests/testing/tiny_store.h"

namespace sequela {
namespace {

using testing::TempFolder;
using testing::TinyChain;
using testing::TinyStoreOptions;

// A window as its content, for comparison as a multiset.
using Document = std::vector<std::int64_t>;

std::vector<Document> DocumentsOf(const Batch& batch) {
  std::vector<Document> documents;
  for (std::size_t d = 0; d + 1 < batch.document_begin.size(); ++d) {
    Document& document = documents.emplace_back(Document{batch.sample[d]});
    for (auto i = static_cast<std::size_t>(batch.document_begin[d]);
         i < static_cast<std::size_t>(batch.document_begin[d + 1]); ++i) {
      document.insert(document.end(),
                      {batch.token[i], batch.target[i], batch.position[i], batch.time_us[i],
                       static_cast<std::int64_t>(batch.weight[i] * 1024)});
    }
  }
  return documents;
}

std::vector<Document> DocumentsOf(const StepInput& input) {
  std::vector<Document> all;
  for (const Batch& batch : input.microbatches) {
    for (Document& document : DocumentsOf(batch)) all.push_back(std::move(document));
  }
  std::sort(all.begin(), all.end());
  return all;
}

void ExpectWellFormed(const Batch& batch) {
  const std::size_t tokens = batch.token.size();
  EXPECT_EQ(batch.target.size(), tokens);
  EXPECT_EQ(batch.weight.size(), tokens);
  EXPECT_EQ(batch.position.size(), tokens);
  EXPECT_EQ(batch.time_us.size(), tokens);
  ASSERT_EQ(batch.document_begin.size(), batch.sample.size() + 1);
  EXPECT_EQ(batch.document_begin.front(), 0);
  EXPECT_EQ(static_cast<std::size_t>(batch.document_begin.back()), tokens);
  for (std::size_t d = 0; d < batch.sample.size(); ++d) {
    const auto begin = static_cast<std::size_t>(batch.document_begin[d]);
    const auto end = static_cast<std::size_t>(batch.document_begin[d + 1]);
    ASSERT_LT(begin, end);
    for (std::size_t i = begin; i < end; ++i) {
      EXPECT_EQ(batch.position[i], static_cast<std::int32_t>(i - begin));
      if (batch.target[i] == Batch::kNoTarget) {
        EXPECT_EQ(batch.weight[i], 0.0F);
      } else {
        ASSERT_LT(i + 1, end);
        EXPECT_EQ(batch.target[i], batch.token[i + 1]);
        EXPECT_GT(batch.weight[i], 0.0F);
      }
    }
  }
}

class BatchLoaderTest : public ::testing::Test {
 protected:
  const ChainStore& Store(const TinyStoreOptions& options = {}) {
    const std::string name = std::to_string(stores_++);
    testing::WriteTinyStore(temp_ / name, options);
    store_ = std::make_unique<ChainStore>(ChainStore::Open(temp_ / name));
    return *store_;
  }

  static LoaderOptions Options(std::int64_t context_length = 64) {
    LoaderOptions options;
    options.context_length = context_length;
    options.global_batch_tokens = 400;
    options.microbatch_tokens = 200;
    return options;
  }

  // How often each (token, time) of a split's chains is a target in the store, by rule.
  static std::map<std::pair<std::int64_t, std::int64_t>, int> TargetsInStore(
      const ChainStore& store, Split split) {
    std::map<std::pair<std::int64_t, std::int64_t>, int> count;
    for (std::int64_t s = 0; s < store.num_subjects(); ++s) {
      const ChainView chain = store.chain(s);
      for (std::int64_t i = 0; chain.split == split && i < chain.size(); ++i) {
        if (IsTarget(store.vocabulary()[chain.token(i)])) {
          ++count[{chain.token(i), chain.time_us[static_cast<std::size_t>(i)]}];
        }
      }
    }
    return count;
  }

  TempFolder temp_;
  int stores_ = 0;
  std::unique_ptr<ChainStore> store_;
};

TEST_F(BatchLoaderTest, EveryTargetOnceAnEpochForManyMixesOfLengths) {
  struct Mix {
    int shortest, longest;
    std::int64_t context_length, overlap;
  };
  for (const Mix mix :
       {Mix{1, 1, 64, 0}, Mix{1, 60, 64, 0}, Mix{1, 200, 32, 0}, Mix{30, 40, 32, 16},
        Mix{0, 300, 40, 7}, Mix{1, 100, 512, 100}, Mix{100, 300, 37, 18}}) {
    const ChainStore& store =
        Store({.subjects = 30, .shortest_events = mix.shortest, .longest_events = mix.longest});
    LoaderOptions options = Options(mix.context_length);
    options.context_overlap = mix.overlap;
    options.microbatch_tokens = 600;
    BatchLoader loader(store, options);
    auto expected = TargetsInStore(store, Split::kTrain);
    std::int64_t rows = 0;
    std::map<std::pair<std::int64_t, std::int64_t>, int> found;
    std::set<std::int64_t> samples;
    while (rows < loader.windows_per_epoch()) {
      const StepInput input = loader.Next();
      EXPECT_LE(input.global_tokens, options.global_batch_tokens + mix.context_length);
      for (const Batch& batch : input.microbatches) {
        ExpectWellFormed(batch);
        EXPECT_LE(batch.num_tokens(), options.microbatch_tokens);
      }
      rows = input.next_state.row;
      if (rows > loader.windows_per_epoch()) break;  // the step goes on into the next epoch
      for (const Batch& batch : input.microbatches) {
        samples.insert(batch.sample.begin(), batch.sample.end());
        for (std::size_t i = 0; i < batch.token.size(); ++i) {
          if (batch.target[i] != Batch::kNoTarget) {
            ++found[{batch.target[i], batch.time_us[i + 1]}];
          }
        }
      }
    }
    // The rest of the epoch: the windows that the last step shared with the next epoch.
    LoaderOptions plain = options;
    plain.shuffle = false;
    plain.global_batch_tokens = 1;
    BatchLoader one_by_one(store, plain);
    for (std::int64_t w = 0; w < one_by_one.windows_per_epoch(); ++w) {
      const StepInput input = one_by_one.Next();
      ASSERT_EQ(input.global_windows, 1);
      if (samples.contains(w)) continue;
      const Batch& batch = input.microbatches.front();
      for (std::size_t i = 0; i < batch.token.size(); ++i) {
        if (batch.target[i] != Batch::kNoTarget) ++found[{batch.target[i], batch.time_us[i + 1]}];
      }
    }
    EXPECT_EQ(found, expected) << "context " << mix.context_length << " overlap " << mix.overlap;
    std::int64_t targets = 0;
    for (const auto& [key, count] : expected) targets += count;
    EXPECT_EQ(loader.account().targets, targets);
  }
}

TEST_F(BatchLoaderTest, TheGlobalBatchDoesNotDependOnRanks) {
  const ChainStore& store = Store();
  for (const std::int64_t ranks : {1, 2, 3, 4}) {
    BatchLoader whole(store, Options());
    std::vector<std::unique_ptr<BatchLoader>> parts;
    for (std::int64_t rank = 0; rank < ranks; ++rank) {
      LoaderOptions options = Options();
      options.rank = rank;
      options.num_ranks = ranks;
      parts.push_back(std::make_unique<BatchLoader>(store, options));
    }
    for (int step = 0; step < 8; ++step) {
      const StepInput expected = whole.Next();
      std::vector<Document> found;
      for (const auto& part : parts) {
        const StepInput input = part->Next();
        EXPECT_EQ(input.next_state, expected.next_state);
        EXPECT_EQ(input.global_tokens, expected.global_tokens);
        EXPECT_FALSE(input.microbatches.empty());
        for (Document& document : DocumentsOf(input)) found.push_back(std::move(document));
      }
      std::sort(found.begin(), found.end());
      EXPECT_EQ(found, DocumentsOf(expected));
    }
  }
}

TEST_F(BatchLoaderTest, ResumesWithTheSameContinuation) {
  const ChainStore& store = Store();
  BatchLoader uninterrupted(store, Options());
  for (int step = 0; step < 5; ++step) uninterrupted.Next();
  BatchLoader resumed(store, Options(), uninterrupted.state());
  for (int step = 0; step < 20; ++step) {
    const StepInput a = uninterrupted.Next();
    const StepInput b = resumed.Next();
    ASSERT_EQ(a.microbatches.size(), b.microbatches.size());
    for (std::size_t m = 0; m < a.microbatches.size(); ++m) {
      EXPECT_EQ(DocumentsOf(a.microbatches[m]), DocumentsOf(b.microbatches[m]));
    }
    EXPECT_EQ(uninterrupted.state(), resumed.state());
  }
}

TEST_F(BatchLoaderTest, PrefetchChangesNothing) {
  const ChainStore& store = Store();
  LoaderOptions options = Options();
  options.prefetch_steps = 0;
  BatchLoader direct(store, options);
  options.prefetch_steps = 3;
  BatchLoader prefetched(store, options);
  for (int step = 0; step < 20; ++step) {
    EXPECT_EQ(DocumentsOf(direct.Next()), DocumentsOf(prefetched.Next()));
    EXPECT_EQ(direct.state(), prefetched.state());
  }
}

TEST_F(BatchLoaderTest, EpochsDifferAndNeverLoseAWindow) {
  const ChainStore& store = Store();
  LoaderOptions options = Options();
  options.global_batch_tokens = 1;  // one window a step
  BatchLoader loader(store, options);
  std::vector<std::int64_t> epochs[2];
  for (auto& epoch : epochs) {
    for (std::int64_t i = 0; i < loader.windows_per_epoch(); ++i) {
      epoch.push_back(loader.Next().microbatches.front().sample.front());
    }
  }
  EXPECT_NE(epochs[0], epochs[1]);
  for (auto& epoch : epochs) std::sort(epoch.begin(), epoch.end());
  EXPECT_EQ(epochs[0], epochs[1]);
  EXPECT_EQ(std::set<std::int64_t>(epochs[0].begin(), epochs[0].end()).size(), epochs[0].size());
}

TEST_F(BatchLoaderTest, StepsForEpochsCountsTheSteps) {
  const ChainStore& store = Store();
  BatchLoader loader(store, Options());
  const auto windows = static_cast<double>(loader.account().windows);
  for (const double epochs : {0.3, 1.0, 2.5}) {
    BatchLoader walk(store, Options());
    std::int64_t steps = 0;
    for (double done = 0; done < epochs; ++steps) {
      done = static_cast<double>(walk.Next().next_state.row) / windows;
    }
    EXPECT_EQ(loader.StepsForEpochs(epochs), steps);
  }
}

TEST_F(BatchLoaderTest, HeadsHoldStaticsAgeAndTheWindowsTime) {
  const Vocabulary vocabulary = testing::TinyVocabulary(6);
  constexpr std::int64_t kYear = 31'557'600'000'000;
  TinyChain chain(&vocabulary, 5, Split::kTrain);
  chain.Static("SEX//F").Birth(-30 * kYear);
  for (int i = 0; i < 40; ++i) chain.Event(-5 * kYear + i * kYear, 2 * (i % 3));
  chain.End();
  testing::WriteTinyStore(temp_ / "store", vocabulary, {chain});
  const ChainStore store = ChainStore::Open(temp_ / "store");
  LoaderOptions options = Options(32);
  options.shuffle = false;
  options.global_batch_tokens = 1;
  BatchLoader loader(store, options);
  std::int64_t place = 2;  // in the chain, after the static tokens
  for (std::int64_t w = 0; w < loader.windows_per_epoch(); ++w) {
    const StepInput input = loader.Next();
    const Batch& batch = input.microbatches.front();
    EXPECT_EQ(batch.token[0], vocabulary.bos());
    EXPECT_EQ(vocabulary[batch.token[1]].text, "SEX//F");
    EXPECT_EQ(vocabulary[batch.token[2]].text, "MEDS_BIRTH");
    const auto first = static_cast<std::size_t>(place);
    const std::int64_t years = (chain.time_us[first] + 30 * kYear) / kYear;
    EXPECT_EQ(vocabulary[batch.token[3]].text,
              "AGE//" + std::to_string(years / 20 * 20 * 31'557'600));
    for (std::size_t i = 0; i < 4; ++i) {
      EXPECT_EQ(batch.time_us[i], chain.time_us[first]);
      EXPECT_EQ(batch.target[i], i == 3 ? batch.token[4] : Batch::kNoTarget);
    }
    for (std::size_t i = 4; i < batch.token.size(); ++i, ++place) {
      EXPECT_EQ(batch.token[i],
                static_cast<std::int32_t>(chain.token[static_cast<std::size_t>(place)]));
      EXPECT_EQ(batch.time_us[i], chain.time_us[static_cast<std::size_t>(place)]);
    }
    // An event is never cut apart: a window begins with a gap, except the first.
    EXPECT_EQ(vocabulary[batch.token[4]].kind, w == 0 ? TokenKind::kCode : TokenKind::kGap);
  }
  EXPECT_EQ(place, chain.size() - 1);  // all but [END]
}

TEST_F(BatchLoaderTest, OverlapIsShownWithoutLoss) {
  const ChainStore& store = Store({.subjects = 10, .shortest_events = 200, .longest_events = 300});
  LoaderOptions options = Options(64);
  const std::int64_t targets = BatchLoader(store, options).account().targets;
  options.context_overlap = 20;
  options.shuffle = false;
  options.global_batch_tokens = 1;
  BatchLoader loader(store, options);
  EXPECT_EQ(loader.account().targets, targets);
  EXPECT_GT(loader.account().context_tokens, 0);
  Batch before;
  for (std::int64_t w = 0; w < loader.windows_per_epoch(); ++w) {
    const StepInput input = loader.Next();
    const Batch& batch = input.microbatches.front();
    const auto target = std::find_if(batch.target.begin(), batch.target.end(),
                                     [](std::int32_t t) { return t != Batch::kNoTarget; });
    const auto shown = target - batch.target.begin() + 1;  // tokens before the first fresh one
    if (shown > 4) {
      EXPECT_GE(shown, 20 + 2);
      EXPECT_LE(shown, 20 + 4 + 8);
      const auto overlap = std::min<std::ptrdiff_t>(shown - 4, 20);
      EXPECT_TRUE(std::equal(batch.token.begin() + shown - overlap, batch.token.begin() + shown,
                             before.token.end() - overlap));
    }
    before = batch;
  }
}

TEST_F(BatchLoaderTest, WeightsAreThoseOfTheTargets) {
  const ChainStore& store = Store();
  LoaderOptions options = Options();
  for (std::int32_t i = 0; i < store.vocabulary().size(); ++i) {
    options.token_weight.push_back(static_cast<float>(i) + 0.5F);
  }
  BatchLoader loader(store, options);
  const StepInput input = loader.Next();
  for (const Batch& batch : input.microbatches) {
    for (std::size_t i = 0; i < batch.token.size(); ++i) {
      if (batch.target[i] != Batch::kNoTarget) {
        EXPECT_EQ(batch.weight[i], static_cast<float>(batch.target[i]) + 0.5F);
      }
    }
  }
}

TEST_F(BatchLoaderTest, RefusesWhatCannotWork) {
  const Vocabulary vocabulary = testing::TinyVocabulary(6);
  TinyChain statics(&vocabulary, 5, Split::kTrain);
  statics.Static("SEX//F");
  testing::WriteTinyStore(temp_ / "statics", vocabulary, {statics});
  const ChainStore no_events = ChainStore::Open(temp_ / "statics");
  EXPECT_THROW(BatchLoader(no_events, Options()), InputError);
  LoaderOptions options = Options();
  options.microbatch_tokens = options.context_length - 1;
  EXPECT_THROW(BatchLoader(Store(), options), InputError);
  options = Options(16);
  EXPECT_THROW(BatchLoader(Store(), options), InputError);
  options = Options();
  options.context_overlap = 33;
  EXPECT_THROW(BatchLoader(Store(), options), InputError);
}

TEST_F(BatchLoaderTest, EvaluationSeesEveryTargetOnceWithHalfTheContextBeforeIt) {
  const ChainStore& store = Store({.subjects = 30, .shortest_events = 1, .longest_events = 300});
  constexpr std::int64_t kContext = 64;
  const EvaluationWindows windows(
      store, {.split = Split::kHeldOut, .context_length = kContext, .microbatch_tokens = 256});
  std::map<std::pair<std::int64_t, std::int64_t>, int> found;  // (subject, index in its chain)
  for (std::int64_t b = 0; b < windows.num_batches(); ++b) {
    const EvaluationBatch evaluation = windows.Load(b);
    ExpectWellFormed(evaluation.batch);
    EXPECT_LE(evaluation.batch.num_tokens(), 256);
    for (std::size_t d = 0; d < evaluation.subject.size(); ++d) {
      const ChainView chain = store.chain(evaluation.subject[d]);
      const std::int64_t first = HeadOf(store.vocabulary(), chain).static_end;
      for (auto i = static_cast<std::size_t>(evaluation.batch.document_begin[d]);
           i < static_cast<std::size_t>(evaluation.batch.document_begin[d + 1]); ++i) {
        const std::int64_t index = evaluation.chain_index[i];
        if (evaluation.batch.target[i] == Batch::kNoTarget) {
          EXPECT_EQ(index, -1);
          continue;
        }
        EXPECT_EQ(chain.token(index), evaluation.batch.target[i]);
        EXPECT_GE(evaluation.context_tokens[i], std::min(index - first, kContext / 2));
        ++found[{evaluation.subject[d], index}];
      }
    }
  }
  for (std::int64_t s = 0; s < store.num_subjects(); ++s) {
    const ChainView chain = store.chain(s);
    for (std::int64_t i = 0; i < chain.size(); ++i) {
      const bool expected =
          chain.split == Split::kHeldOut && IsTarget(store.vocabulary()[chain.token(i)]);
      EXPECT_EQ(found.contains({s, i}), expected);
      if (expected) {
        EXPECT_EQ((found[{s, i}]), 1);
      }
    }
  }
}

TEST_F(BatchLoaderTest, EvaluationOfSomeWindowsIsTheSameSubsetForAnyBatches) {
  const ChainStore& store = Store({.subjects = 60});
  std::set<std::int64_t> samples[2];
  for (const std::size_t i : {0, 1}) {
    const EvaluationWindows windows(
        store, {.context_length = 64, .microbatch_tokens = i == 0 ? 64 : 4096, .max_windows = 7});
    for (std::int64_t b = 0; b < windows.num_batches(); ++b) {
      const Batch batch = windows.Load(b).batch;
      samples[i].insert(batch.sample.begin(), batch.sample.end());
    }
  }
  EXPECT_EQ(samples[0].size(), 7U);
  EXPECT_EQ(samples[0], samples[1]);
}

}  // namespace
}  // namespace sequela
