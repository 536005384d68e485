// ctest: labels=sanitize timeout=120 arrow
// What records mean as tokens: each rule on a record small enough to read.
#include "dataio/ingest/ingest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "dataio/ingest/reading/event_records.h"
#include "dataio/ingest/splits.h"
#include "kernels/base/errors.h"
#include "tests/testing/meds_records.h"

namespace sequela {
namespace {

using ::testing::Contains;
using testing::Counted;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::MedsRecords;
using ::testing::Not;
using testing::TokensOf;

constexpr std::int64_t kHour = 3600 * MedsRecords::kSecond;
constexpr std::int64_t kDay = MedsRecords::kDay;

TEST(IngestTest, SubjectKeysAreReversible) {
  for (const std::int64_t id : {std::int64_t{0}, std::int64_t{1}, std::int64_t{-1},
                                std::int64_t{2001039}, INT64_MAX, INT64_MIN}) {
    EXPECT_EQ(SubjectOfKey(SubjectKey(id)), id);
  }
}

TEST(IngestTest, AChainOpensWithFactsThenGapsAndEventsThenItsEnd) {
  MedsRecords records;
  records.Event(7, kStaticTime, "GENDER//F").Event(7, -50 * 365 * kDay, "MEDS_BIRTH");
  records.Event(7, kDay, "A").Event(7, kDay + 2 * kHour, "B").Event(7, kDay + 2 * kHour, "C");
  const ChainStore store = records.Store();
  EXPECT_THAT(TokensOf(store, 7),
              ElementsAre("GENDER//F", "MEDS_BIRTH", "A", "GAP//0+", "B", "C", "[END]"));
  const ChainView chain = store.chain(0);
  EXPECT_EQ(chain.time_us[0], kStaticTime);
  EXPECT_EQ(chain.time_us[1], -50 * 365 * kDay);
  EXPECT_EQ(chain.time_us[3], kDay + 2 * kHour);  // a gap stands at the new time
  EXPECT_EQ(chain.code[3], kNoCode);
  EXPECT_EQ(store.codes()[chain.code[4]].code, "B");
}

TEST(IngestTest, CanonicalOrderPutsAdmissionsFirstAndDischargesAndDeathLast) {
  MedsRecords records;
  for (const char* code :
       {"MEDS_DEATH", "Z", "HOSPITAL_DISCHARGE//HOME", "A//9", "A", "ICU_ADMISSION//X"}) {
    records.Event(1, kDay, code);
  }
  EXPECT_THAT(TokensOf(records.Store(), 1), ElementsAre("ICU_ADMISSION//X", "A", "A//9", "Z",
                                                        "HOSPITAL_DISCHARGE//HOME", "MEDS_DEATH"));
}

TEST(IngestTest, SourceOrderKeepsTheRowsOrder) {
  MedsRecords records;
  records.Event(1, kDay, "Z").Event(1, kDay, "A").Event(1, kDay, "M");
  IngestSettings settings;
  settings.order = IngestSettings::Order::kSource;
  EXPECT_THAT(TokensOf(records.Store(settings), 1), ElementsAre("Z", "A", "M", "[END]"));
}

TEST(IngestTest, NothingFollowsDeathUnlessItIsKept) {
  MedsRecords records;
  records.Event(1, kDay, "A").Event(1, 2 * kDay, "MEDS_DEATH").Event(1, 3 * kDay, "B");
  EXPECT_THAT(TokensOf(records.Store(), 1), ElementsAre("A", "GAP//0+", "MEDS_DEATH"));
  EXPECT_EQ(Counted(records.report, "events_after_death_dropped"), 1);
  IngestSettings keep;
  keep.after_death = IngestSettings::Keep::kKeep;
  EXPECT_THAT(TokensOf(records.Store(keep), 1),
              ElementsAre("A", "GAP//0+", "MEDS_DEATH", "GAP//0+", "B", "[END]"));
}

TEST(IngestTest, FactsWithoutTimeEnterByTheAllowListAlone) {
  MedsRecords records;
  records.Event(1, kStaticTime, "RACE//X")
      .Event(1, kStaticTime, "OUTCOME//DIED")
      .Event(1, kDay, "A");
  EXPECT_THAT(TokensOf(records.Store(), 1), ElementsAre("RACE//X", "A", "[END]"));
  EXPECT_EQ(Counted(records.report, "static_facts_dropped"), 1);
}

TEST(IngestTest, ADeathWithoutATimeIsRefused) {
  MedsRecords records;
  records.Event(1, kStaticTime, "MEDS_DEATH").Event(1, kDay, "A");
  try {
    records.Store();
    FAIL() << "accepted";
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), HasSubstr("data/train/0.parquet, row 0: a death without a time"));
  }
}

TEST(IngestTest, RecordsWithoutBirthOrWithoutEventsAreCounted) {
  MedsRecords records;
  records.Event(1, kDay, "A");
  records.Event(2, kStaticTime, "GENDER//F");
  records.Event(3, 5 * kDay, "MEDS_BIRTH").Event(3, kDay, "A").Event(3, 6 * kDay, "A");
  const ChainStore store = records.Store();
  EXPECT_EQ(store.num_subjects(), 2);
  EXPECT_EQ(Counted(records.report, "subjects_without_birth"), 2);
  EXPECT_EQ(Counted(records.report, "static_only_subjects"), 1);
  EXPECT_EQ(Counted(records.report, "events_before_birth"), 1);
}

TEST(IngestTest, DuplicatesAreKeptAndCountedOrDropped) {
  MedsRecords records;
  for (int i = 0; i < 3; ++i) records.Event(1, kDay, "A", 1.5F);
  records.Event(1, kDay, "A", 2.5F);
  EXPECT_EQ(records.Store().num_tokens(), 5);
  EXPECT_EQ(Counted(records.report, "duplicates"), 2);
  IngestSettings drop;
  drop.duplicates = IngestSettings::Keep::kDrop;
  EXPECT_EQ(records.Store(drop).num_tokens(), 3);
  EXPECT_EQ(Counted(records.report, "duplicates_dropped"), 2);
}

TEST(IngestTest, ValuesBecomeJointTokensAndStayExactInTheStore) {
  MedsRecords records;
  for (int i = 0; i < 40; ++i) {
    records.Event(i, kDay, "LAB//K//mmol", static_cast<float>(i) + 0.1F);
  }
  const ChainStore store = records.Store();
  const Vocabulary& vocabulary = store.vocabulary();
  for (int i = 0; i < 40; ++i) {
    const ChainView chain = store.chain(*store.FindSubject(i));
    const TokenEntry& token = vocabulary[chain.token(0)];
    EXPECT_EQ(token.text, "LAB//K//mmol//Q" + std::to_string(i / 4 + 1));
    EXPECT_EQ(chain.value[0], static_cast<float>(i) + 0.1F);
    EXPECT_LT(token.bin_lower, chain.value[0]);
    EXPECT_LE(chain.value[0], token.bin_upper);
  }
  EXPECT_EQ(vocabulary.Find("LAB//K//mmol"), Vocabulary::kNone);  // never without a value
}

TEST(IngestTest, TextResultsOfEnoughSubjectsBecomeTokens) {
  MedsRecords records;
  for (int i = 0; i < 12; ++i) {
    records.Event(i, kDay, "URINE", MedsFileWriter::kNoValue, i % 2 == 0 ? " Clear" : "clear ");
  }
  records.Event(20, kDay, "URINE", MedsFileWriter::kNoValue, "purple");
  records.Event(21, kDay, "URINE", MedsFileWriter::kNoValue, std::string(200, 'x'));
  records.Event(22, kDay, "URINE");
  const ChainStore store = records.Store({}, 2);
  EXPECT_THAT(TokensOf(store, 3), ElementsAre("URINE//=clear", "[END]"));
  EXPECT_THAT(TokensOf(store, 20), ElementsAre("URINE//=OTHER", "[END]"));
  EXPECT_THAT(TokensOf(store, 21), ElementsAre("URINE//=OTHER", "[END]"));
  // Events without any result are too few for a token of their own.
  EXPECT_THAT(TokensOf(store, 22), ElementsAre("[UNK]", "[END]"));
}

class FallbackTest : public ::testing::Test {
 protected:
  // `subjects` further subjects have the code.
  void Have(const std::string& code, int subjects) {
    for (int i = 0; i < subjects; ++i) records_.Event(next_++, kDay, code);
  }
  std::string TokenOf(const std::string& code) {
    for (const CodeEntry& entry : store_->codes()) {
      if (entry.code == code) return store_->vocabulary()[entry.token].text;
    }
    return "no such code";
  }
  void Ingest(int min_subjects) { store_.emplace(records_.Store({}, min_subjects)); }
  MedsRecords records_;
  std::int64_t next_ = 1;
  std::optional<ChainStore> store_;
};

TEST_F(FallbackTest, RareCodesGoToParentsThenTruncationsThenPrefixesThenUnknown) {
  records_.Describe({"DIAGNOSIS//ICD//10//E119", "", {"DIABETES"}});
  records_.Describe({"DIAGNOSIS//ICD//10//E109", "", {"DIABETES"}});
  Have("DIAGNOSIS//ICD//10//E119", 2);
  Have("DIAGNOSIS//ICD//10//E109", 2);
  Have("DIAGNOSIS//ICD//10//I501", 2);
  Have("DIAGNOSIS//ICD//10//I509", 3);
  Have("DIAGNOSIS//ICD//10//Z991", 2);
  Have("DIAGNOSIS//ICD//10//A419", 3);
  Have("COMMON", 4);
  Have("RARE", 1);
  Ingest(4);
  EXPECT_EQ(TokenOf("DIAGNOSIS//ICD//10//E119"), "PARENT//DIABETES");
  EXPECT_EQ(TokenOf("DIAGNOSIS//ICD//10//I501"), "DIAGNOSIS//ICD//10//I50*");
  EXPECT_EQ(TokenOf("DIAGNOSIS//ICD//10//I509"), "DIAGNOSIS//ICD//10//I50*");
  EXPECT_EQ(TokenOf("DIAGNOSIS//ICD//10//Z991"), "DIAGNOSIS//ICD//10//*");
  EXPECT_EQ(TokenOf("COMMON"), "COMMON");
  EXPECT_EQ(TokenOf("RARE"), "[UNK]");
  EXPECT_EQ(records_.report.as_parent, 4);
  EXPECT_EQ(records_.report.as_truncation, 5);
  EXPECT_EQ(records_.report.as_prefix, 5);
  EXPECT_EQ(records_.report.as_unknown, 1);
}

TEST_F(FallbackTest, ATokenNeedsSubjectsNotEvents) {
  Have("A", 5);
  for (int i = 0; i < 50; ++i) records_.Event(1, kDay + i, "ONE_PATIENT//x");
  Ingest(3);
  EXPECT_EQ(TokenOf("A"), "A");
  EXPECT_EQ(TokenOf("ONE_PATIENT//x"), "[UNK]");
}

TEST(IngestTest, OnlyTrainDecidesTheVocabulary) {
  MedsRecords records;
  for (int i = 0; i < 10; ++i) records.Event(i, kDay, "TRAIN", static_cast<float>(i));
  records.InFile("held_out/0.parquet");
  for (int i = 10; i < 40; ++i) records.Event(i, kDay, "HELD", 5.0F).Event(i, kDay, "TRAIN", 1e6F);
  const ChainStore store = records.Store();
  EXPECT_EQ(store.vocabulary().Find("HELD"), Vocabulary::kNone);
  EXPECT_THAT(TokensOf(store, 12), ElementsAre("[UNK]", "TRAIN//Q10", "[END]"));
  EXPECT_EQ(store.split(*store.FindSubject(12)), Split::kHeldOut);
  EXPECT_NEAR(records.report.held_out_unknown_fraction, 0.5, 1e-12);
}

TEST(IngestTest, AFrozenVocabularyFitsNothing) {
  MedsRecords first;
  for (int i = 0; i < 20; ++i) first.Event(i, kDay, "LAB", static_cast<float>(i));
  first.Write();
  IngestOptions options;
  options.settings.min_subjects = 1;
  const auto base = first.Ingest(options);
  MedsRecords next;
  for (int i = 100; i < 130; ++i) next.Event(i, kDay, "LAB", 3.0F).Event(i, 2 * kDay, "NEW");
  next.Write();
  IngestOptions frozen;
  frozen.vocabulary = base;
  const ChainStore store = ChainStore::Open(next.Ingest(frozen));
  EXPECT_EQ(store.vocabulary().hash(), ChainStore::Open(base).vocabulary().hash());
  EXPECT_THAT(TokensOf(store, 100), ElementsAre("LAB//Q2", "[UNK]", "[END]"));
  EXPECT_NEAR(next.report.unknown_fraction, 0.5, 1e-12);
  ASSERT_EQ(next.report.drift.size(), 2U);
  for (const IngestReport::Drift& drift : next.report.drift) {
    EXPECT_EQ(drift.share_then, drift.code == "LAB" ? 1.0 : 0.0);
    EXPECT_EQ(drift.share_now, 0.5);
  }
}

TEST(IngestTest, KeptCodesHaveTokensHoweverRare) {
  MedsRecords records;
  for (int i = 0; i < 20; ++i) records.Event(i, kDay, "A");
  records.Event(3, 2 * kDay, "OUTCOME//ONSET").Event(4, 2 * kDay, "MEDS_DEATH");
  records.Write();
  IngestOptions options;
  options.settings.min_subjects = 10;
  options.keep_codes_file = records.folder() / "keep.txt";
  std::ofstream(*options.keep_codes_file) << "# outcomes\nOUTCOME//ONSET\n";
  const ChainStore store = ChainStore::Open(records.Ingest(options));
  EXPECT_NE(store.vocabulary().Find("OUTCOME//ONSET"), Vocabulary::kNone);
  EXPECT_NE(store.vocabulary().Find("MEDS_DEATH"), Vocabulary::kNone);
}

TEST(IngestTest, WithdrawnSubjectsAreLeftOut) {
  MedsRecords records;
  records.Event(1, kDay, "A").Event(2, kDay, "SECRET").Event(3, kDay, "A");
  records.Write();
  IngestOptions options;
  options.settings.min_subjects = 1;
  options.exclude_subjects = records.folder() / "withdrawn.txt";
  std::ofstream(*options.exclude_subjects) << "2\n99\n";
  const ChainStore store = ChainStore::Open(records.Ingest(options));
  EXPECT_FALSE(store.FindSubject(2).has_value());
  for (const CodeEntry& entry : store.codes()) EXPECT_NE(entry.code, "SECRET");
  EXPECT_EQ(Counted(records.report, "excluded_subjects"), 1);
}

TEST(IngestTest, GapTokensTileTimeAndKeepHowTimesLieInThem) {
  MedsRecords records;
  std::int64_t time = 0;
  for (int i = 0; i < 100; ++i)
    records.Event(1, time += (i % 2 == 0 ? 600 : 7200) * MedsRecords::kSecond, "A");
  const ChainStore store = records.Store();
  const Vocabulary& vocabulary = store.vocabulary();
  EXPECT_THAT(TokensOf(store, 1), Contains("GAP//0-2h"));
  const TokenEntry& low = vocabulary[vocabulary.Find("GAP//0-2h")];
  EXPECT_EQ(low.upper_seconds, 7200);
  EXPECT_EQ(low.gap_quantiles_seconds, std::vector<double>(9, 600.0));
  EXPECT_EQ(vocabulary[vocabulary.Find("GAP//2h+")].upper_seconds, INT64_MAX);
  EXPECT_EQ(low.train_count, 49);
}

TEST(IngestTest, ImplausibleValuesAreCountedAndUnitsMultiplied) {
  MedsRecords records;
  for (int i = 0; i < 30; ++i) records.Event(i, kDay, "TEMP", 36.0F + 0.1F * static_cast<float>(i));
  records.Event(40, kDay, "TEMP", 999.0F);
  IngestSettings settings;
  settings.values = {{"^TEMP$", 1.0, 30.0, 45.0}};
  const ChainStore store = records.Store(settings);
  EXPECT_THAT(TokensOf(store, 40), ElementsAre("TEMP", "[END]"));
  EXPECT_EQ(store.chain(*store.FindSubject(40)).value[0], 999.0F);
  EXPECT_EQ(Counted(records.report, "implausible_values"), 1);
}

TEST(IngestTest, DateOnlyCodesAreNamedAndMayMoveToTheirDaysEnd) {
  MedsRecords records;
  for (int i = 0; i < 25; ++i)
    records.Event(i, i * kDay, "MEDS_DEATH").Event(i, i * kDay + kHour, "A");
  records.Store();
  EXPECT_THAT(records.report.date_only_codes, ElementsAre("MEDS_DEATH"));
  EXPECT_EQ(Counted(records.report, "events_after_death_dropped"), 25);
  IngestSettings settings;
  settings.date_only = IngestSettings::DateOnly::kEndOfDay;
  const ChainStore store = records.Store(settings);
  EXPECT_THAT(TokensOf(store, 3), ElementsAre("A", "GAP//0+", "MEDS_DEATH"));
  EXPECT_EQ(store.chain(*store.FindSubject(3)).time_us[2], 4 * kDay - 1);
}

TEST(SplitsTest, HashSplitsAreStableAndAboutEightyTenTen) {
  std::int64_t counts[3] = {};
  for (std::int64_t id = 0; id < 20'000; ++id) ++counts[static_cast<int>(HashSplit(id))];
  EXPECT_NEAR(static_cast<double>(counts[0]), 16'000, 300);
  EXPECT_NEAR(static_cast<double>(counts[1]), 2'000, 200);
  // By an independent program: a change would move subjects between splits of existing studies.
  for (std::int64_t id = 1; id <= 15; ++id) {
    EXPECT_EQ(HashSplit(id), id == 2 || id == 6 || id == 7 ? Split::kTuning : Split::kTrain) << id;
  }
  EXPECT_EQ(HashSplit(-5), Split::kTuning);
}

TEST(SplitsTest, EverySubjectIsHeldOutInExactlyOneFold) {
  for (std::int64_t id = 0; id < 500; ++id) {
    int held_out = 0;
    int tuning = 0;
    for (int fold = 0; fold < 5; ++fold) {
      held_out += FoldSplit(id, 5, fold) == Split::kHeldOut ? 1 : 0;
      tuning += FoldSplit(id, 5, fold) == Split::kTuning ? 1 : 0;
    }
    EXPECT_EQ(held_out, 1);
    EXPECT_EQ(tuning, 1);
  }
}

}  // namespace
}  // namespace sequela
