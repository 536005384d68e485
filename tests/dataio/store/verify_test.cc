// ctest: labels=sanitize timeout=120
// Hostile and damaged stores: every one is refused, with a message that says where and what to do.
#include "dataio/store/verify.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <functional>

#include "dataio/base/mapped_file.h"
#include "dataio/store/chain_store.h"
#include "dataio/store/manifest.h"
#include "dataio/store/readable_chain.h"
#include "dataio/store/store_summary.h"
#include "kernels/base/atomic_file.h"
#include "tests/testing/hdf5_tampering.h"
#include "tests/testing/message_of.h"
#include "tests/testing/temp_folder.h"
#include "tests/testing/tiny_store.h"

namespace sequela {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::MessageOf;
using ::testing::Not;
using testing::TinyChain;

constexpr std::int64_t kHour = 3'600'000'000;

class VerifyTest : public ::testing::Test {
 protected:
  void SetUp() override { testing::WriteTinyStore(store_, {.subjects = 12, .longest_events = 20}); }

  std::string Verify() const {
    return MessageOf([&] { VerifyStore(store_); });
  }
  std::string Open() const {
    return MessageOf([&] { ChainStore::Open(store_); });
  }
  fs::path Shard(int index = 0) const { return store_ / ShardFileName(index, 2); }

  static void Edit(const fs::path& file, const std::string& from, const std::string& to) {
    std::string text = ReadFile(file);
    const std::size_t place = text.find(from);
    ASSERT_NE(place, std::string::npos) << from;
    WriteFileAtomically(file, text.replace(place, from.size(), to));
  }
  static void FlipByte(const fs::path& file, std::uint64_t place) {
    std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
    stream.seekg(static_cast<std::streamoff>(place));
    const int byte = stream.get();
    stream.seekp(static_cast<std::streamoff>(place));
    stream.put(static_cast<char>(byte ^ 0x10));
  }
  // Makes the manifest agree with the bytes of the changed shard.
  void AgreeWithShard() const {
    Manifest manifest = ParseManifest(ReadFile(store_ / "manifest.json"), "manifest.json");
    manifest.shards[0].file_bytes = fs::file_size(Shard());
    manifest.shards[0].file_crc32c = FileCrc32c(Shard());
    manifest.shards[0].chain_extents.clear();
    manifest.shards[0].structure_crc32c = FileCrc32c(Shard());
    WriteFileAtomically(store_ / "manifest.json", ToJson(manifest));
  }

  testing::TempFolder temp_;
  fs::path store_ = temp_ / "store";
};

TEST_F(VerifyTest, AcceptsAWholeStoreAndCountsIt) {
  const VerifySummary summary = VerifyStore(store_);
  const ChainStore store = ChainStore::Open(store_);
  EXPECT_EQ(summary.shards, 2);
  EXPECT_EQ(summary.subjects, 12);
  EXPECT_EQ(summary.tokens, store.num_tokens());
  EXPECT_TRUE(summary.has_manifest_digest);
  EXPECT_EQ(summary.bytes, fs::file_size(Shard(0)) + fs::file_size(Shard(1)));
}

TEST_F(VerifyTest, AChildFindsTheSame) {
  const VerifySummary expected = VerifyStore(store_);
  const VerifySummary found = VerifyStoreInChild(store_);
  EXPECT_EQ(found.shards, expected.shards);
  EXPECT_EQ(found.subjects, expected.subjects);
  EXPECT_EQ(found.events, expected.events);
  EXPECT_EQ(found.tokens, expected.tokens);
  EXPECT_EQ(found.bytes, expected.bytes);
  EXPECT_EQ(found.has_manifest_digest, expected.has_manifest_digest);
  FlipByte(Shard(1), 300);
  const std::string fault = Verify();
  EXPECT_THAT(fault, HasSubstr("shard-00001-of-00002.h5"));
  EXPECT_EQ(MessageOf([&] { VerifyStoreInChild(store_); }), fault);
}

// Whose name is told where the library crashes.
TEST_F(VerifyTest, TheHookIsCalledWithEachShardBeforeItIsOpened) {
  std::vector<fs::path> shards;
  VerifyStore(store_, [&](const fs::path& shard) { shards.push_back(shard); });
  EXPECT_EQ(shards, (std::vector<fs::path>{Shard(0), Shard(1)}));
}

TEST_F(VerifyTest, OneFlippedByteAnywhereIsFound) {
#if defined(SEQUELA_SANITIZED)  // two minutes for all of them
  constexpr std::uint64_t kStep = 17;
#else
  constexpr std::uint64_t kStep = 1;
#endif
  for (const char* name : {"manifest.json", "codes.json", "vocabulary.json"}) {
    const std::uint64_t size = fs::file_size(store_ / name);
    for (std::uint64_t place = 0; place < size; place += kStep) {
      FlipByte(store_ / name, place);
      EXPECT_THAT(Verify(), HasSubstr(name)) << place;
      EXPECT_THAT(Open(), HasSubstr(name)) << place;
      FlipByte(store_ / name, place);
    }
  }
  const std::uint64_t size = fs::file_size(Shard());
  for (std::uint64_t place = 0; place < size; place += 331 * kStep) {
    FlipByte(Shard(), place);
    EXPECT_THAT(Verify(), HasSubstr("shard-00000-of-00002.h5")) << place;
    EXPECT_THAT(Open(), HasSubstr("shard-00000-of-00002.h5")) << place;
    FlipByte(Shard(), place);
  }
  EXPECT_EQ(Verify(), "accepted");
}

TEST_F(VerifyTest, AFlippedByteOfADatasetIsFoundByName) {
  const ChainStore store = ChainStore::Open(store_);
  const std::string bytes = ReadFile(Shard());
  const ChainView chain = store.chain(0);
  const std::string value(reinterpret_cast<const char*>(chain.value.data()),
                          chain.value.size_bytes());
  FlipByte(Shard(), bytes.find(value) + 5);
  EXPECT_THAT(Verify(), HasSubstr("/chain/value: found CRC-32C"));
}

TEST_F(VerifyTest, TruncationIsRefusedAtOnce) {
  for (const double share : {0.0, 0.01, 0.5, 0.999}) {
    const fs::path copy = temp_ / "copy";
    fs::copy(store_, copy, fs::copy_options::recursive);
    const auto size = static_cast<double>(fs::file_size(Shard()));
    fs::resize_file(copy / Shard().filename(), static_cast<std::uint64_t>(size * share));
    for (const auto& check : {std::function<void()>([&] { ChainStore::Open(copy); }),
                              std::function<void()>([&] { VerifyStore(copy); })}) {
      EXPECT_THAT(MessageOf(check), HasSubstr("cut short"));
    }
    fs::remove_all(copy);
  }
}

TEST_F(VerifyTest, MissingPartsAreNamed) {
  fs::rename(Shard(1), temp_ / "aside");
  EXPECT_THAT(Open(), HasSubstr("shard-00001-of-00002.h5: No such file"));
  fs::rename(temp_ / "aside", Shard(1));
  fs::remove(store_ / "codes.json");
  EXPECT_THAT(Open(), HasSubstr("codes.json: no such file"));
  fs::remove(store_ / "manifest.json");
  EXPECT_THAT(Open(), HasSubstr("manifest.json is missing"));
  EXPECT_THAT(MessageOf([&] { ChainStore::Open(temp_ / "nowhere"); }), HasSubstr("no chain store"));
}

TEST_F(VerifyTest, AnotherMajorVersionIsRefused) {
  Edit(store_ / "manifest.json", "\"format_version\": \"1.2\"", "\"format_version\": \"2.3\"");
  EXPECT_THAT(Open(), HasSubstr("found \"2.3\", expected version 1.x"));
}

TEST_F(VerifyTest, AMinorVersionIsRead) {
  const fs::path file = store_ / "manifest.json";
  Edit(file, "\"format_version\": \"1.2\"", "\"format_version\": \"1.7\", \"later\": [1]");
  EXPECT_THAT(Open(), HasSubstr("was changed"));
  WriteFileAtomically(file, WithDigest(ReadFile(file)));
  EXPECT_EQ(Open(), "accepted");
}

TEST_F(VerifyTest, AStoreBeforeDigestsIsReadAndVerifySaysSo) {
  const fs::path file = store_ / "manifest.json";
  std::string text = ReadFile(file);
  const std::size_t digest = text.find(",\n \"manifest_crc32c\"");
  ASSERT_NE(digest, std::string::npos);
  WriteFileAtomically(file, text.substr(0, digest) + "\n}\n");
  EXPECT_THAT(Open(), HasSubstr("manifest_crc32c"));  // 1.2 without one
  Edit(file, "\"format_version\": \"1.2\"", "\"format_version\": \"1.1\"");
  EXPECT_EQ(Open(), "accepted");
  EXPECT_FALSE(VerifyStore(store_).has_manifest_digest);
}

TEST_F(VerifyTest, AShardThatTheManifestDoesNotListIsRefused) {
  fs::copy(Shard(), store_ / "shard-00002-of-00003.h5");
  EXPECT_THAT(Verify(), HasSubstr("shard-00002-of-00003.h5: not listed in manifest.json"));
}

TEST_F(VerifyTest, AVocabularyOfAnotherStoreIsRefused) {
  testing::WriteTinyStore(temp_ / "other", {.subjects = 12, .num_codes = 21});
  fs::copy(temp_ / "other/vocabulary.json", store_ / "vocabulary.json",
           fs::copy_options::overwrite_existing);
  EXPECT_THAT(Open(), HasSubstr("belongs to another store"));
}

TEST_F(VerifyTest, AShardOfAnotherStoreIsRefused) {
  testing::WriteTinyStore(temp_ / "other", {.subjects = 12, .longest_events = 20, .seed = 2});
  fs::copy(temp_.path() / "other" / Shard().filename(), Shard(),
           fs::copy_options::overwrite_existing);
  EXPECT_NE(Open(), "accepted");
}

TEST_F(VerifyTest, PathsThatLeadElsewhereAreRefused) {
  Edit(store_ / "manifest.json", "\"file\": \"shard-00000-of-00002.h5\"",
       "\"file\": \"../shard-00000-of-00002.h5\"");
  EXPECT_THAT(Open(), HasSubstr("expected \"shard-00000-of-00002.h5\""));
}

TEST_F(VerifyTest, LinksOutOfTheFileAreRefused) {
  testing::ReplaceByExternalLink(Shard(), "/chain/value");
  AgreeWithShard();
  EXPECT_THAT(Open(), HasSubstr("/chain/value: found an external or symbolic link"));
  testing::HideBehindSoftLink(Shard(), "/chain");
  AgreeWithShard();
  EXPECT_THAT(Open(), HasSubstr("/chain: found an external or symbolic link"));
}

TEST_F(VerifyTest, ExternalStorageIsRefused) {
  testing::ReplaceByExternalStorage(Shard(), "/chain/value");
  AgreeWithShard();
  EXPECT_THAT(Open(), HasSubstr("/chain/value: found external storage"));
}

TEST_F(VerifyTest, VirtualDatasetsAreRefused) {
  testing::ReplaceByVirtualDataset(Shard(), "/chain/value");
  AgreeWithShard();
  EXPECT_THAT(Open(), HasSubstr("/chain/value: found a virtual dataset"));
}

TEST_F(VerifyTest, AnotherLayoutIsReadThroughTheLibrary) {
  testing::ReplaceByChunks(Shard(), "/chain/value");
  AgreeWithShard();
  EXPECT_EQ(Verify(), "accepted");
}

// Well-formed files whose chains break a rule.
class ChainRulesTest : public VerifyTest {
 protected:
  std::string VerifyChain(const std::function<void(TinyChain*)>& change) {
    const Vocabulary vocabulary = testing::TinyVocabulary(6);
    TinyChain chain(&vocabulary, 3, Split::kTrain);
    // 0 SEX//F, 1 MEDS_BIRTH, 2 CODE//0, 3 gap, 4 CODE//1, 5 =high, 6 gap, 7 CODE//2, 8 [END]
    chain.Static("SEX//F").Birth(0).Event(kHour, 0).Event(2 * kHour, 1).Event(5 * kHour, 2).End();
    change(&chain);
    fs::remove_all(temp_ / "rules");
    testing::WriteTinyStore(temp_ / "rules", vocabulary, {chain});
    return MessageOf([&] { VerifyStore(temp_ / "rules"); });
  }
};

TEST_F(ChainRulesTest, EachBrokenRuleIsNamed) {
  EXPECT_EQ(VerifyChain([](TinyChain*) {}), "accepted");
  EXPECT_THAT(VerifyChain([](TinyChain* c) { c->time_us[4] = kHour - 1; }),
              HasSubstr("/chain/time[4] (token 4 of the shard's subject 0)"));
  EXPECT_THAT(VerifyChain([](TinyChain* c) { c->time_us[8] = 6 * kHour; }),
              HasSubstr("later time without a gap token"));
  EXPECT_THAT(
      VerifyChain([](TinyChain* c) { c->time_us[3] = c->time_us[4] = c->time_us[5] = kHour; }),
      HasSubstr("gap token at the time"));
  EXPECT_THAT(VerifyChain([](TinyChain* c) { c->time_us[2] = kStaticTime; }),
              HasSubstr("found no time"));
  EXPECT_THAT(VerifyChain([](TinyChain* c) { c->token[7] = c->token[8]; }),
              HasSubstr("[END] before the end"));
  EXPECT_THAT(VerifyChain([](TinyChain* c) { c->token[7] = c->token[0]; }),
              HasSubstr("static token after a timed one"));
  EXPECT_THAT(VerifyChain([](TinyChain* c) { c->token[5] = 7; }), HasSubstr("only the heads"));
  EXPECT_THAT(VerifyChain([](TinyChain* c) { c->code[4] = 999; }), HasSubstr("found 999"));
  EXPECT_THAT(VerifyChain([](TinyChain* c) { c->code[7] = kNoCode; }),
              HasSubstr("gap token that no event follows"));
  EXPECT_THAT(VerifyChain([](TinyChain* c) { c->value[5] = 1; }), HasSubstr("no event"));
}

TEST_F(ChainRulesTest, NoMessageHoldsATimeOrAResult) {
  EXPECT_THAT(VerifyChain([](TinyChain* c) { c->time_us[4] = 777; }), Not(HasSubstr("777")));
  const auto begin_with_a_result = [](TinyChain* c) {
    c->token[2] = c->token[5];
    c->code[2] = kNoCode;
  };
  EXPECT_THAT(VerifyChain(begin_with_a_result),
              AllOf(HasSubstr("/chain/token[2]"), HasSubstr("value token without its event"),
                    Not(HasSubstr("=high"))));
}

// Whoever looks the numbers up checks them, not only VerifyStore.
TEST_F(ChainRulesTest, ACodeOutsideOfTheTableIsRefusedByEveryReader) {
  VerifyChain([](TinyChain* c) { c->code[4] = 1U << 30; });
  const ChainStore store = ChainStore::Open(temp_ / "rules");
  const auto refused = HasSubstr("/chain/code: found 1073741824, expected a number below");
  EXPECT_THAT(MessageOf([&] { store.checked_chain(0); }), refused);
  EXPECT_THAT(MessageOf([&] { ReadableChain(store, 0); }), refused);
  EXPECT_THAT(MessageOf([&] { Summarize(store); }), refused);
}

TEST_F(ChainRulesTest, ASubjectThatStandsTwiceIsRefused) {
  const Vocabulary vocabulary = testing::TinyVocabulary(6);
  TinyChain chain(&vocabulary, 3, Split::kTrain);
  chain.Event(kHour, 0).End();
  testing::WriteTinyStore(temp_ / "twice", vocabulary, {chain, chain}, 2);
  EXPECT_THAT(MessageOf([&] { VerifyStore(temp_ / "twice"); }), HasSubstr("stands in the store"));
}

}  // namespace
}  // namespace sequela
