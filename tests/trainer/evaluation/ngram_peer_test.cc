// ctest: timeout=120 arrow
// Our n-gram baselines against an independent count in Python (numpy, polars) of the same tokens:
// the script of SEQUELA_NGRAM_PEER, by default ../shared/peers/meds/ngram.py beside the project.
// Skipped where it or its libraries are absent.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <regex>

#include "dataio/meds/meds_writer.h"
#include "tests/testing/temp_folder.h"
#include "tests/testing/tiny_store.h"
#include "trainer/evaluation/baselines.h"

namespace sequela {
namespace {

namespace fs = std::filesystem;

constexpr int kCodes = 12;

std::string OutputOf(const std::string& command, int* status) {
  std::string output;
  std::FILE* pipe = ::popen(command.c_str(), "r");
  std::array<char, 4096> buffer{};
  while (const std::size_t count = std::fread(buffer.data(), 1, buffer.size(), pipe)) {
    output.append(buffer.data(), count);
  }
  *status = ::pclose(pipe);
  return output;
}

Vocabulary CodesAlone() {
  std::vector<TokenEntry> tokens;
  for (const char* text : {"[BOS]", "[END]", "[UNK]"}) tokens.push_back({.text = text});
  for (int i = 0; i < kCodes; ++i) {
    const std::string code = "CODE//" + std::to_string(i);
    tokens.push_back({.text = code, .kind = TokenKind::kCode, .code = code});
  }
  return Vocabulary(std::move(tokens));
}

// Codes that depend on the two before; number kCodes stands for codes too rare for a token.
std::vector<int> DrawCodes(std::mt19937* random) {
  std::vector<int> codes;
  const std::size_t length = 1 + (*random)() % 90;
  while (codes.size() < length) {
    const std::size_t n = codes.size();
    const int follows = n < 2 ? 0 : (codes[n - 1] * 5 + codes[n - 2]) % kCodes;
    const bool rare = (*random)() % 1000 == 0;
    codes.push_back(rare                  ? kCodes
                    : (*random)() % 5 < 3 ? follows
                                          : static_cast<int>((*random)() % kCodes));
  }
  return codes;
}

class NgramPeerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* given = std::getenv("SEQUELA_NGRAM_PEER");
    script_ = given != nullptr ? fs::path(given)
                               : fs::path(SEQUELA_SOURCE_DIR).parent_path() / "shared" / "peers" /
                                     "meds" / "ngram.py";
    const char* python = std::getenv("SEQUELA_PYTHON");
    python_ = python != nullptr ? python : "python3";
    if (!fs::exists(script_)) GTEST_SKIP() << "no independent count at " << script_;
    int status = 0;
    OutputOf(python_ + " -c 'import numpy, polars' 2>/dev/null", &status);
    if (status != 0) GTEST_SKIP() << python_ << " has no numpy and polars";
  }

  // The same chains as a store's tokens and as MEDS codes.
  void Write() {
    std::mt19937 random(11);
    std::vector<testing::TinyChain> chains;
    for (const Split split : {Split::kTrain, Split::kTuning, Split::kHeldOut}) {
      MedsFileWriter meds(root_ / "meds/data" / std::string(NameOf(split)) / "0.parquet");
      for (int i = 0; i < (split == Split::kTrain ? 60 : 25); ++i) {
        const auto subject = static_cast<std::int64_t>(chains.size());
        testing::TinyChain& chain = chains.emplace_back(&vocabulary_, subject, split);
        for (const int code : DrawCodes(&random)) {
          const auto number = static_cast<std::uint32_t>(code);
          chain.token.push_back(code == kCodes ? 2 : 3 + number);
          chain.time_us.push_back(0);
          chain.code.push_back(0);
          chain.value.push_back(std::nanf(""));
          // Rare codes are all different, so that the other program counts each too seldom.
          meds.Append(subject, 0,
                      code == kCodes ? "RARE//" + std::to_string(random())
                                     : "CODE//" + std::to_string(code));
        }
      }
      meds.Finish();
    }
    testing::WriteTinyStore(root_ / "store", vocabulary_, chains);
  }

  struct Nats {
    double unigram = 0, bigram = 0, trigram = 0;
  };
  static Nats Ours(const ChainStore& store, Split split) {
    const NgramModel model = FitTokenBaseline(store);
    Nats sum;
    double targets = 0;
    for (std::int64_t s = 0; s < store.num_subjects(); ++s) {
      if (store.split(s) != split) continue;
      const SymbolSequence sequence = TokenSequence(store.vocabulary(), store.chain(s));
      for (std::size_t i = 0; i < sequence.symbol.size(); ++i) {
        if (sequence.is_target[i] == 0) continue;
        const NgramProbabilities p = model.At(sequence, static_cast<std::int64_t>(i));
        sum.unigram -= std::log(p.unigram);
        sum.bigram -= std::log(p.bigram);
        sum.trigram -= std::log(p.trigram);
        ++targets;
      }
    }
    return {sum.unigram / targets, sum.bigram / targets, sum.trigram / targets};
  }
  // From the line "  held_out: ... unigram add-1 ppl 11.93 (nats 2.4790) | ...".
  static Nats Theirs(const std::string& output, Split split) {
    const auto nats = [&](const std::string& model) {
      const std::regex pattern(std::string(NameOf(split)) + ": events[^\n]*" + model +
                               " ppl [0-9.]+ \\(nats ([0-9.]+)\\)");
      std::smatch match;
      EXPECT_TRUE(std::regex_search(output, match, pattern)) << model << " in\n" << output;
      return match.empty() ? -1.0 : std::stod(match[1]);
    };
    return {nats("unigram add-1"), nats("bigram bucketed"), nats("trigram bucketed")};
  }

  testing::TempFolder root_;
  Vocabulary vocabulary_ = CodesAlone();
  fs::path script_;
  std::string python_;
};

TEST_F(NgramPeerTest, AnIndependentCountGivesTheSameNats) {
  Write();
  int status = 0;
  const std::string output = OutputOf(
      python_ + " " + script_.string() + " " + (root_ / "meds").string() + " 2>&1", &status);
  ASSERT_EQ(status, 0) << output;
  const ChainStore store = ChainStore::Open(root_ / "store");
  constexpr double kPrinted = 5.1e-5;  // half of the last digit that it prints
  for (const Split split : {Split::kTuning, Split::kHeldOut}) {
    const Nats ours = Ours(store, split);
    const Nats theirs = Theirs(output, split);
    EXPECT_NEAR(ours.unigram, theirs.unigram, kPrinted) << NameOf(split);
    EXPECT_NEAR(ours.bigram, theirs.bigram, kPrinted) << NameOf(split);
    EXPECT_NEAR(ours.trigram, theirs.trigram, kPrinted) << NameOf(split);
    EXPECT_LT(ours.trigram, ours.unigram - 0.1) << "the chains hold nothing to count";
  }
}

}  // namespace
}  // namespace sequela
