// ctest: labels=sanitize timeout=120 arrow
// Separate value tokens: an event with a result is its code's token and then the result's.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <tuple>

#include "dataio/loader/window_table.h"
#include "dataio/store/verify.h"
#include "tests/testing/meds_records.h"

namespace sequela {
namespace {

using ::testing::ElementsAre;
using testing::MedsRecords;
using testing::TokensOf;

constexpr std::int64_t kDay = MedsRecords::kDay;
constexpr float kNoValue = MedsFileWriter::kNoValue;

IngestSettings Separate() {
  IngestSettings settings;
  settings.value_tokens = IngestSettings::ValueTokens::kSeparate;
  return settings;
}

// Two laboratories on other scales, with and without values, and text results.
void WriteResults(MedsRecords& records) {
  std::mt19937 random(3);
  for (int i = 0; i < 400; ++i) {
    const std::int64_t time = i * kDay / 4;
    const auto u = static_cast<float>(random() % 1000);
    records.Event(i % 20, time, "LAB//K//mmol", i % 7 == 0 ? kNoValue : 3 + u / 400);
    records.Event(i % 20, time, "LAB//GLU//mg", 60 + u / 3);
    if (i % 3 == 0)
      records.Event(i % 20, time, "URINE", kNoValue,
                    i % 2 == 0 ? "clear" : "RARE" + std::to_string(i));
  }
}

using Event = std::tuple<std::int64_t, std::int64_t, std::string, float>;

// Times, codes and values of the events; a NaN as -1.
std::vector<Event> EventsOf(const ChainStore& store) {
  std::vector<Event> events;
  for (std::int64_t s = 0; s < store.num_subjects(); ++s) {
    const ChainView chain = store.chain(s);
    for (std::size_t i = 0; i < chain.code.size(); ++i) {
      if (chain.code[i] == kNoCode) continue;
      events.emplace_back(chain.subject_id, chain.time_us[i], store.codes()[chain.code[i]].code,
                          std::isnan(chain.value[i]) ? -1.0F : chain.value[i]);
    }
  }
  std::sort(events.begin(), events.end());
  return events;
}

TEST(SeparateValuesTest, AnEventIsItsCodeAndThenItsResult) {
  MedsRecords records;
  for (int i = 0; i < 40; ++i) {
    records.Event(i, kDay, "LAB//A", static_cast<float>(i))
        .Event(i, kDay, "LAB//B", 5.0F * (i % 2));
    records.Event(i, kDay, "PLAIN").Event(i, kDay, "URINE", kNoValue, i == 7 ? "odd" : "Clear");
  }
  const ChainStore store = records.Store(Separate(), 2);
  // B has two values: a bin each.
  EXPECT_THAT(TokensOf(store, 13),
              ElementsAre("LAB//A", "Q4", "LAB//B", "Q2", "PLAIN", "URINE", "=clear", "[END]"));
  EXPECT_THAT(TokensOf(store, 7),
              ElementsAre("LAB//A", "Q2", "LAB//B", "Q2", "PLAIN", "URINE", "[END]"));
  const ChainView chain = store.chain(*store.FindSubject(13));
  EXPECT_EQ(chain.value[0], 13.0F);
  EXPECT_EQ(chain.code[1], kNoCode);
  EXPECT_TRUE(std::isnan(chain.value[1]));
  EXPECT_EQ(chain.time_us[1], chain.time_us[0]);
  VerifyStore(store.folder());
}

TEST(SeparateValuesTest, EveryEventComesBackAndItsBinHoldsItsValue) {
  MedsRecords records;
  WriteResults(records);
  const ChainStore joint = records.Store({}, 2);
  const std::int64_t events = records.report.total_events();
  const std::int64_t as_value = records.report.as_value;
  const std::int64_t as_text = records.report.as_text;
  const ChainStore separate = records.Store(Separate(), 2);
  EXPECT_EQ(EventsOf(separate), EventsOf(joint));
  EXPECT_EQ(records.report.total_events(), events);
  EXPECT_EQ(records.report.as_value, as_value);
  EXPECT_EQ(records.report.as_text, as_text);
  EXPECT_EQ(separate.num_tokens(), joint.num_tokens() + as_value + as_text);
  EXPECT_LT(separate.vocabulary().size(), joint.vocabulary().size());
  VerifyStore(separate.folder());
  std::int64_t checked = 0;
  const Vocabulary& vocabulary = separate.vocabulary();
  for (std::int64_t s = 0; s < separate.num_subjects(); ++s) {
    const ChainView chain = separate.chain(s);
    for (std::int64_t i = 1; i < chain.size(); ++i) {
      const auto bin = static_cast<std::size_t>(vocabulary[chain.token(i)].bin_number);
      if (bin == 0) continue;
      const std::vector<float>& edges = vocabulary[chain.token(i - 1)].value_edges;
      const float value = chain.value[static_cast<std::size_t>(i - 1)];
      ASSERT_LE(bin, edges.size() + 1);
      EXPECT_TRUE(bin == 1 || value > edges[bin - 2]);
      EXPECT_TRUE(bin > edges.size() || value <= edges[bin - 1]);
      ++checked;
    }
  }
  EXPECT_EQ(checked, as_value);
}

TEST(SeparateValuesTest, AVocabularyReadBackTokenisesAlike) {
  MedsRecords records;
  WriteResults(records);
  const ChainStore fitted = records.Store(Separate(), 2);
  IngestOptions options;
  options.vocabulary = fitted.folder();
  const ChainStore again = ChainStore::Open(records.Ingest(options));
  EXPECT_EQ(again.vocabulary().hash(), fitted.vocabulary().hash());
  for (int subject = 0; subject < 20; ++subject) {
    EXPECT_EQ(TokensOf(again, subject), TokensOf(fitted, subject));
  }
}

TEST(SeparateValuesTest, WindowsCountAnEventOfTwoTokensOnce) {
  MedsRecords records;
  WriteResults(records);
  const ChainStore store = records.Store(Separate(), 2);
  const WindowTable windows(store, {.context_length = 64});
  EXPECT_EQ(windows.account().events, records.report.total_events());
  EXPECT_EQ(windows.account().events_cut_apart, 0);
  EXPECT_GT(windows.account().targets, windows.account().events);
}

}  // namespace
}  // namespace sequela
