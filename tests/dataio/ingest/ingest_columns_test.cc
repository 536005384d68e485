// ctest: labels=sanitize timeout=180 arrow
// What ingest keeps by setting: texts as they are written, and columns beside MEDS's own as code
// parts, events or stays (docs/records.md).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <random>

#include "dataio/base/utf8.h"
#include "dataio/ingest/ingest.h"
#include "dataio/store/chain_store_writer.h"
#include "dataio/store/readable_chain.h"
#include "dataio/store/verify.h"
#include "kernels/base/atomic_file.h"
#include "tests/testing/arrow/odd_parquet.h"
#include "tests/testing/meds_records.h"
#include "tests/testing/message_of.h"
#include "tests/testing/temp_folder.h"
#include "tests/testing/tiny_store.h"

namespace sequela {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using testing::Counted;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::MedsRecords;
using testing::MessageOf;
using ::testing::Not;
using testing::OddColumn;
using testing::TokensOf;
using testing::WriteOddParquet;

constexpr std::int64_t kDay = MedsRecords::kDay;
constexpr float kNoValue = MedsFileWriter::kNoValue;

ChainStore StoreWithTexts(MedsRecords& records, bool text_results = true) {
  records.Write();
  IngestOptions options;
  options.keep_text = true;
  options.settings.min_subjects = 1;
  options.settings.text_results = text_results;
  options.memory_bytes = 64 << 20;
  return ChainStore::Open(records.Ingest(options));
}

TEST(KeptTextTest, EveryEventHasItsTextAsItIsWritten) {
  MedsRecords records;
  const std::string note = "Line one\nline two \xc3\xa4\xe2\x82\xac " + std::string(70'000, 'n');
  records.Event(1, kStaticTime, "GENDER//F", kNoValue, "Woman").Event(1, kDay, "A", 2.5F, " Low ");
  records.Event(1, kDay, "B").Event(1, 2 * kDay, "NOTE", kNoValue, note);
  records.Event(2, kDay, "A", kNoValue, "low");
  for (const bool text_results : {true, false}) {
    const ChainStore store = StoreWithTexts(records, text_results);
    ASSERT_TRUE(store.has_texts());
    EXPECT_THAT(store.texts(*store.FindSubject(1)), ElementsAre("Woman", " Low ", "", note));
    EXPECT_THAT(store.texts(*store.FindSubject(2)), ElementsAre("low"));
    EXPECT_EQ(records.report.kept_texts, 4);
    EXPECT_EQ(records.report.kept_text_bytes, static_cast<std::int64_t>(5 + 5 + note.size() + 3));
    EXPECT_EQ(Counted(records.report, "texts"), 4);
    EXPECT_EQ(VerifyStore(store.folder()).events, 5);
    EXPECT_THAT(ReadableChain(store, *store.FindSubject(1)),
                AllOf(HasSubstr("A = 2.5 \" Low \""), HasSubstr("NOTE \"Line one line two")));
  }
}

TEST(KeptTextTest, TextsAreLeftOutUnlessAskedFor) {
  MedsRecords records;
  records.Event(1, kDay, "A", kNoValue, "secret words of a long note that is no result at all");
  const ChainStore store = records.Store();
  EXPECT_FALSE(store.has_texts());
  for (const auto& entry : fs::directory_iterator(store.folder())) {
    EXPECT_THAT(ReadFile(entry.path()), Not(HasSubstr("secret"))) << entry;
  }
}

TEST(KeptTextTest, KeepingTextsChangesNoToken) {
  MedsRecords records;
  for (int i = 0; i < 30; ++i) {
    records.Event(i % 5, i * kDay, "URINE", kNoValue, i % 3 == 0 ? "Clear" : "cloudy");
  }
  const ChainStore without = records.Store();
  const ChainStore with = StoreWithTexts(records);
  EXPECT_EQ(with.vocabulary().ToJson(), without.vocabulary().ToJson());
  for (int i = 0; i < 5; ++i) EXPECT_EQ(TokensOf(with, i), TokensOf(without, i));
}

// A store of one chain with two events, and these texts.
std::string VerifyTexts(const std::string& first, const std::string& second) {
  testing::TempFolder root;
  const Vocabulary vocabulary = testing::TinyVocabulary(6);
  testing::TinyChain chain(&vocabulary, 3, Split::kTrain);
  chain.Event(kDay, 0).Event(2 * kDay, 1).End();
  const std::vector<CodeEntry> codes(8, CodeEntry{.code = "C"});
  fs::create_directory(root / "store");
  ChainShardWriter writer(root / "store" / ShardFileName(0, 1), {1, chain.size()},
                          vocabulary.size(), vocabulary.hash(),
                          {.texts = true,
                           .events = 2,
                           .text_bytes = static_cast<std::int64_t>(first.size() + second.size())});
  chain.AppendTo(&writer);
  writer.AppendText(first);
  writer.AppendText(second);
  WriteStoreMetadata(root / "store", {.vocabulary = vocabulary,
                                      .codes = codes,
                                      .shards = {writer.Finish()},
                                      .settings_json = "{}",
                                      .source_json = "{}",
                                      .simulation_json = ""});
  return MessageOf([&] { VerifyStore(root / "store"); });
}

TEST(KeptTextTest, VerifyRefusesTextsThatAreNotUtf8) {
  EXPECT_EQ(VerifyTexts("a", "\xc3\xa4"), "accepted");
  EXPECT_THAT(VerifyTexts("a", "\xff"), HasSubstr("/text/offset[1]: found a text that is not"));
  // A character cut in two by an offset: the bytes together are UTF-8, the texts are not.
  EXPECT_THAT(VerifyTexts("a\xc3", "\xa4"), HasSubstr("/text/offset[0]: found a text that is not"));
}

TEST(KeptTextTest, Utf8IsWhatTheStandardSays) {
  for (const char* good : {"", "a", "\xc2\x80", "\xef\xbf\xbf", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_TRUE(IsUtf8(good)) << good;
  }
  for (const char* bad : {"\x80", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82"}) {
    EXPECT_FALSE(IsUtf8(bad)) << bad;
  }
}

// Five rows of two subjects with columns beside MEDS's own; what a test changes of it.
class ColumnsTest : public ::testing::Test {
 protected:
  OddColumn subject_{"subject_id", "int64", {"1", "1", "1", "2", "2"}};
  OddColumn time_{"time",
                  "timestamp[us]",
                  {std::nullopt, "2020-01-01", "2020-01-02", "2020-01-01", "2020-01-03"}};
  OddColumn code_{"code", "string", {"GENDER//F", "ADMISSION", "DRUG//x", "DRUG//x", "LAB"}};
  OddColumn value_{"numeric_value", "float", {{}, {}, {}, {}, "3"}};
  OddColumn stay_{"hadm_id", "int64", {{}, "70", "70", {}, "9007199254740993"}};
  OddColumn route_{"route", "string", {{}, {}, "oral", "iv", ""}};
  OddColumn dose_{"dose", "double", {{}, {}, "0.5", "2", {}}};
  OddColumn race_{"race", "string", {"WHITE", {}, {}, {}, {}}};

  void SetUp() override { Write(); }
  void Write() {
    WriteOddParquet(root_ / "meds/data/0.parquet",
                    {subject_, time_, code_, value_, stay_, route_, dose_, race_});
    WriteOddParquet(root_ / "meds/metadata/subject_splits.parquet",
                    {{"subject_id", "int64", {"1", "2"}}, {"split", "string", {"train", "train"}}});
  }
  ChainStore Ingest(IngestSettings settings) {
    settings.min_subjects = 1;
    settings.value_tokens = IngestSettings::ValueTokens::kNone;
    settings.gap_tokens = false;
    IngestOptions options;
    options.source = root_ / "meds";
    options.out = root_ / ("store" + std::to_string(++stores_));
    options.settings = settings;
    report_ = sequela::Ingest(options);
    return ChainStore::Open(options.out);
  }
  testing::TempFolder root_;
  IngestReport report_;
  int stores_ = 0;
};

TEST_F(ColumnsTest, UnusedColumnsAreListed) {
  EXPECT_FALSE(Ingest({}).chain(0).stay.data() != nullptr);
  EXPECT_THAT(report_.unused_columns, ElementsAre("dose", "hadm_id", "race", "route"));
}

TEST_F(ColumnsTest, CodeColumnsJoinTheCode) {
  const ChainStore store = Ingest({.code_columns = {"route", "dose"}});
  EXPECT_THAT(TokensOf(store, 1),
              ElementsAre("GENDER//F", "ADMISSION", "DRUG//x//oral//0.5", "[END]"));
  EXPECT_THAT(TokensOf(store, 2), ElementsAre("DRUG//x//iv//2", "LAB", "[END]"));
  EXPECT_THAT(report_.unused_columns, ElementsAre("hadm_id", "race"));
}

TEST_F(ColumnsTest, EventColumnsAreEventsAtTheirRowsTime) {
  const ChainStore store = Ingest({.event_columns = {"route", "dose", "race"}});
  // The race of a row without a time is a static fact of the allow-list.
  EXPECT_THAT(TokensOf(store, 1), ElementsAre("GENDER//F", "race//WHITE", "ADMISSION", "DRUG//x",
                                              "dose", "route//oral", "[END]"));
  const ChainView chain = store.chain(*store.FindSubject(1));
  EXPECT_EQ(chain.value[4], 0.5F);
  EXPECT_EQ(chain.time_us[5], chain.time_us[3]);
  EXPECT_EQ(report_.total_events(), 10);
  EXPECT_EQ(Counted(report_, "events_of_columns"), 5);
  EXPECT_THAT(report_.unused_columns, ElementsAre("hadm_id"));
}

TEST_F(ColumnsTest, EventsOfColumnsFollowTheirRowInSourceOrder) {
  const ChainStore store =
      Ingest({.order = IngestSettings::Order::kSource, .event_columns = {"route", "dose"}});
  EXPECT_THAT(TokensOf(store, 2), ElementsAre("DRUG//x", "route//iv", "dose", "LAB", "[END]"));
}

// The stay of each event by its code.
std::map<std::string, std::int64_t> StaysOf(const ChainStore& store, std::int64_t subject) {
  const ChainView chain = store.chain(*store.FindSubject(subject));
  std::map<std::string, std::int64_t> stays;
  for (std::size_t i = 0; i < chain.code.size(); ++i) {
    if (chain.code[i] != kNoCode) {
      stays[store.codes()[chain.code[i]].code] = chain.stay[i];
    } else {
      EXPECT_EQ(chain.stay[i], kNoStay);
    }
  }
  return stays;
}

TEST_F(ColumnsTest, StaysAreKeptWithTheEventsOfTheirRows) {
  for (const char* type : {"int64", "string", "dictionary"}) {
    stay_.type = type;
    Write();
    const ChainStore store = Ingest({.event_columns = {"route"}, .stay_column = "hadm_id"});
    EXPECT_THAT(StaysOf(store, 1),
                ElementsAre(std::pair("ADMISSION", 70), std::pair("DRUG//x", 70),
                            std::pair("GENDER//F", kNoStay), std::pair("route//oral", 70)));
    EXPECT_EQ(StaysOf(store, 2)["DRUG//x"], kNoStay);
    EXPECT_EQ(StaysOf(store, 2)["LAB"], 9007199254740993);
    VerifyStore(store.folder());
    EXPECT_THAT(ReadableChain(store, *store.FindSubject(1)), HasSubstr("  stay 70\n"));
  }
}

TEST_F(ColumnsTest, WrongColumnsAreRefusedByName) {
  const auto refusal = [&](const IngestSettings& settings) {
    std::string message = MessageOf([&] { Ingest(settings); });
    EXPECT_FALSE(fs::exists(root_ / ("store" + std::to_string(stores_) + ".partial")));
    EXPECT_FALSE(fs::exists(root_ / ("store" + std::to_string(stores_))));
    return message;
  };
  EXPECT_THAT(refusal({.stay_column = "hadm"}), HasSubstr("no file has a column 'hadm'"));
  EXPECT_THAT(refusal({.code_columns = {"code"}}), HasSubstr("code_columns: 'code' is read"));
  EXPECT_THAT(refusal({.event_columns = {"dose", "dose"}}), HasSubstr("event_columns: 'dose'"));
  EXPECT_THAT(refusal({.stay_column = "route"}),
              HasSubstr("0.parquet, row group 0, column 'route': stay ids are integers"));
}

TEST_F(ColumnsTest, AStoresVocabularyBringsItsCodeAndEventColumns) {
  const ChainStore first = Ingest({.code_columns = {"route"}, .event_columns = {"race"}});
  IngestOptions options;
  options.source = root_ / "meds";
  options.out = root_ / "next";
  options.vocabulary = first.folder();
  options.settings.stay_column = "hadm_id";
  sequela::Ingest(options);
  const ChainStore next = ChainStore::Open(options.out);
  EXPECT_EQ(TokensOf(next, 1), TokensOf(first, 1));
  EXPECT_EQ(StaysOf(next, 1)["ADMISSION"], 70);
}

// Ties that only texts and stays tell apart, in files of any order, by any number of workers.
TEST(ColumnsDeterminismTest, TextsAndStaysDependOnNothingButTheRecords) {
  std::string expected;
  for (const unsigned seed : {0U, 1U, 2U}) {
    testing::TempFolder root;
    std::vector<std::size_t> order(600);
    std::iota(order.begin(), order.end(), 0U);
    std::shuffle(order.begin(), order.end(), std::mt19937(seed));
    for (std::size_t file = 0; file <= seed; ++file) {
      std::vector<OddColumn> columns = {{"subject_id", "int64", {}},
                                        {"time", "timestamp[us]", {}},
                                        {"code", "string", {}},
                                        {"text_value", "string", {}},
                                        {"stay", "int64", {}}};
      for (std::size_t i = file; i < order.size(); i += seed + 1) {
        const std::size_t row = order[i];
        const std::string values[] = {std::to_string(row % 10),
                                      "2020-01-0" + std::to_string(1 + row % 3), "CODE",
                                      row % 2 == 0 ? "Word" : "word", std::to_string(row % 7)};
        for (std::size_t c = 0; c < columns.size(); ++c) columns[c].values.emplace_back(values[c]);
      }
      WriteOddParquet(root / "meds/data" / (std::to_string(file) + ".parquet"), columns,
                      {.row_group_rows = 50});
    }
    IngestOptions options;
    options.source = root / "meds";
    options.out = root / "store";
    options.settings.min_subjects = 1;
    options.settings.stay_column = "stay";
    options.keep_text = true;
    options.workers = static_cast<int>(seed) + 1;
    options.partitions = 1 + 3 * static_cast<int>(seed);
    options.shard_bytes = 10'000;
    Ingest(options);
    const std::string hash = ChainStore::Open(options.out).content_hash();
    if (seed == 0) expected = hash;
    EXPECT_EQ(hash, expected) << seed;
  }
}

// Skipped where the MIMIC-IV demo (ODbL 1.0; PhysioNet) is absent.
TEST(MimicColumnsTest, AdmissionsAreStays) {
  const char* given = std::getenv("SEQUELA_SHARED_DATA");
  const fs::path data =
      (given != nullptr ? fs::path(given)
                        : fs::path(SEQUELA_SOURCE_DIR).parent_path() / "shared" / "data") /
      "mimic-iv-demo-meds/data_tuning_0.parquet";
  if (!fs::exists(data)) GTEST_SKIP() << "no MIMIC-IV demo at " << data;
  testing::TempFolder root;
  IngestOptions options;
  options.source = data;
  options.out = root / "store";
  options.settings.stay_column = "hadm_id";
  options.settings.event_columns = {"insurance"};
  options.settings.after_death = IngestSettings::Keep::kKeep;
  options.keep_text = true;
  const IngestReport report = Ingest(options);
  const ChainStore store = ChainStore::Open(options.out);
  std::int64_t with_stay = 0;
  std::int64_t of_columns = 0;
  for (std::int64_t s = 0; s < store.num_subjects(); ++s) {
    const ChainView chain = store.chain(s);
    for (std::size_t i = 0; i < chain.code.size(); ++i) {
      if (chain.code[i] == kNoCode) continue;
      const bool made = store.codes()[chain.code[i]].code.starts_with("insurance//");
      with_stay += !made && chain.stay[i] != kNoStay ? 1 : 0;
      of_columns += made ? 1 : 0;
    }
  }
  // Counted in the file by pyarrow: 69,620 rows, 4,510 without hadm_id, 69,603 without insurance,
  // 30,369 without text.
  EXPECT_EQ(with_stay, 69'620 - 4'510);
  EXPECT_EQ(of_columns, 17);
  EXPECT_EQ(report.kept_texts, 69'620 - 30'369);
  VerifyStore(options.out);
}

}  // namespace
}  // namespace sequela
