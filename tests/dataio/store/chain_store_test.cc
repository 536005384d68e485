// ctest: labels=sanitize timeout=120
// Writing a chain store and reading it back.
#include "dataio/store/chain_store.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "dataio/store/hdf5/hdf5_file.h"
#include "dataio/store/shard.h"
#include "kernels/base/atomic_file.h"
#include "kernels/base/errors.h"
#include "tests/testing/temp_folder.h"
#include "tests/testing/tiny_store.h"

namespace sequela {
namespace {

using testing::TempFolder;
using testing::TinyChain;

constexpr std::int64_t kHour = 3'600'000'000;

class ChainStoreTest : public ::testing::Test {
 protected:
  TempFolder temp_;
  Vocabulary vocabulary_ = testing::TinyVocabulary(6);

  std::vector<TinyChain> ThreeChains() {
    TinyChain one(&vocabulary_, 7, Split::kHeldOut);
    one.Static("SEX//M")
        .Birth(-5 * kHour)
        .Event(kHour, 1, -2.5F)
        .Event(kHour, 2)
        .Event(4 * kHour, 3);
    one.End();
    TinyChain empty(&vocabulary_, -12, Split::kTuning);
    TinyChain last(&vocabulary_, std::int64_t{1} << 60, Split::kTrain);
    last.Event(9 * kHour, 0).End();
    return {one, empty, last};
  }

  static void ExpectEqual(const TinyChain& expected, const ChainView& found) {
    EXPECT_EQ(found.subject_id, expected.subject_id);
    EXPECT_EQ(found.split, expected.split);
    ASSERT_EQ(found.size(), expected.size());
    for (std::int64_t i = 0; i < found.size(); ++i) {
      const auto k = static_cast<std::size_t>(i);
      EXPECT_EQ(found.token(i), static_cast<std::int32_t>(expected.token[k]));
      EXPECT_EQ(found.time_us[k], expected.time_us[k]);
      EXPECT_EQ(found.code[k], expected.code[k]);
      EXPECT_EQ(std::isnan(found.value[k]), std::isnan(expected.value[k]));
      if (!std::isnan(expected.value[k])) {
        EXPECT_EQ(found.value[k], expected.value[k]);
      }
    }
  }
};

TEST_F(ChainStoreTest, ReadsBackWhatWasWritten) {
  for (const int shards : {1, 2, 3, 5}) {
    const auto folder = temp_ / std::to_string(shards);
    testing::WriteTinyStore(folder, vocabulary_, ThreeChains(), shards);
    const ChainStore store = ChainStore::Open(folder);
    ASSERT_EQ(store.num_subjects(), 3);
    EXPECT_EQ(store.vocabulary().hash(), vocabulary_.hash());
    std::int64_t tokens = 0;
    for (std::int64_t i = 0; i < 3; ++i) {
      const TinyChain expected = ThreeChains()[static_cast<std::size_t>(i)];
      ExpectEqual(expected, store.chain(i));
      EXPECT_EQ(store.chain_length(i), expected.size());
      EXPECT_EQ(store.split(i), expected.split);
      EXPECT_EQ(store.FindSubject(expected.subject_id), i);
      tokens += expected.size();
    }
    EXPECT_EQ(store.num_tokens(), tokens);
    EXPECT_EQ(store.FindSubject(8), std::nullopt);
  }
}

TEST_F(ChainStoreTest, ReadsIntoMemoryWhereMappingIsImpossible) {
  testing::WriteTinyStore(temp_ / "store", vocabulary_, ThreeChains());
  const Manifest manifest =
      ParseManifest(ReadFile(temp_ / "store/manifest.json"), temp_ / "store/manifest.json");
  const Shard mapped(temp_.path() / "store", manifest, 0);
  const Shard read(temp_.path() / "store", manifest, 0, Shard::Access::kReadIntoMemory);
  for (std::size_t column = 0; column < kDatasetPaths.size(); ++column) {
    if (!HasDataset(column, mapped.extras())) continue;
    const auto a = mapped.Bytes(column);
    const auto b = read.Bytes(column);
    EXPECT_TRUE(std::equal(a.begin(), a.end(), b.begin(), b.end())) << kDatasetPaths[column];
    EXPECT_NE(a.data(), b.data());
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(a.data()) % kDatasetAlignment, 0U);
  }
}

TEST_F(ChainStoreTest, IsTheSameBytesEveryTime) {
  testing::WriteTinyStore(temp_ / "a");
  testing::WriteTinyStore(temp_ / "b");
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(temp_ / "a")) {
    EXPECT_EQ(ReadFile(entry.path()), ReadFile(temp_.path() / "b" / entry.path().filename()));
    ++files;
  }
  EXPECT_EQ(files, 5);
}

TEST_F(ChainStoreTest, TokensAre32BitsBeyond65536) {
  std::vector<TokenEntry> tokens = vocabulary_.tokens();
  for (int i = 0; i < 65'600; ++i) {
    tokens.push_back({.text = "X" + std::to_string(i), .kind = TokenKind::kCode});
  }
  const Vocabulary large(tokens);
  TinyChain chain(&large, 1, Split::kTrain);
  chain.Event(0, 1);
  chain.token.back() = static_cast<std::uint32_t>(large.size() - 1);
  testing::WriteTinyStore(temp_ / "store", large, {chain});
  const ChainStore store = ChainStore::Open(temp_ / "store");
  EXPECT_EQ(store.chain(0).tokens16, nullptr);
  EXPECT_EQ(store.chain(0).token(1), large.size() - 1);
}

TEST_F(ChainStoreTest, FindsTheHeadOfAChain) {
  testing::WriteTinyStore(temp_ / "store", vocabulary_, ThreeChains());
  const ChainStore store = ChainStore::Open(temp_ / "store");
  const ChainHead head = HeadOf(store.vocabulary(), store.chain(0));
  EXPECT_EQ(head.static_end, 2);
  EXPECT_EQ(head.birth_us, -5 * kHour);
  EXPECT_EQ(HeadOf(store.vocabulary(), store.chain(1)).static_end, 0);
  EXPECT_EQ(HeadOf(store.vocabulary(), store.chain(2)).birth_us, std::nullopt);
}

TEST_F(ChainStoreTest, FilesArePrivate) {
  testing::WriteTinyStore(temp_ / "store");
  using std::filesystem::perms;
  for (const auto& entry : std::filesystem::directory_iterator(temp_ / "store")) {
    EXPECT_EQ(entry.status().permissions(), perms::owner_read | perms::owner_write) << entry;
  }
}

}  // namespace
}  // namespace sequela
