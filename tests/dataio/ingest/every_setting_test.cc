// ctest: labels=sanitize timeout=180 arrow
// Every key of ingest's settings is read by something: with another value the same records leave
// another store. docs/records.md has the table of keys.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>

#include "dataio/ingest/ingest.h"
#include "dataio/meds/meds_writer.h"
#include "dataio/store/readable_chain.h"
#include "kernels/base/atomic_file.h"
#include "kernels/base/errors.h"
#include "tests/testing/arrow/odd_parquet.h"
#include "tests/testing/temp_folder.h"

namespace sequela {
namespace {

namespace fs = std::filesystem;

std::string Document(const std::string& name) {
  return ReadFile(std::string(SEQUELA_SOURCE_DIR) + "/docs/" + name);
}

// Two subjects with everything that a setting can act upon.
class RecordsWithEverything {
 public:
  RecordsWithEverything() {
    for (const std::string subject : {"1", "2"}) {
      Row(subject, "", "GENDER//F");
      Row(subject, "", "HEIGHT//TALL");
      Row(subject, "2000-01-02T00:00:00", "LATE//A");  // before birth
      Row(subject, "2001-01-01T00:00:00", "MEDS_BIRTH");
      for (int i = 0; i < 12; ++i) {
        const std::string day = fmt::format("2020-01-{:02}T", i + 1);
        Row(subject, day + "00:00:00", "DAY//ONLY");
        Row(subject, day + "08:00:00", "LAB//K", std::to_string(i));
        Row(subject, day + "08:00:00", "AA//FIRST");
        Row(subject, day + "09:00:00", "URINE", "", i % 2 == 0 ? "positive" : "negative or so");
      }
      Row(subject, "2020-02-01T10:00:00", "RARE//" + subject);
      Row(subject, "2020-02-01T10:00:00", "ICD10CM//A12" + subject);
      Row(subject, "2020-02-01T10:00:00", "CHILD//" + subject);
      Row(subject, "2020-02-02T10:00:00", "TWICE");
      Row(subject, "2020-02-02T10:00:00", "TWICE");
      Row(subject, "2020-03-02T10:00:00", "MEDS_DEATH");
      Row(subject, "2020-03-03T10:00:00", "LATE//B");
    }
    fs::create_directories(meds() / "data/train");
    testing::WriteOddParquet(meds() / "data/train/0.parquet", {{"subject_id", "int64", subjects_},
                                                               {"time", "timestamp[us]", times_},
                                                               {"code", "string", codes_},
                                                               {"numeric_value", "float", values_},
                                                               {"text_value", "string", texts_},
                                                               {"ward", "string", wards_},
                                                               {"stay", "int64", subjects_}});
    WriteMedsMetadata(meds(), {"test", "1", "test", "1", ""},
                      {{"CHILD//1", "", {"PARENT"}}, {"CHILD//2", "", {"PARENT"}}}, {});
  }

  // What comes of the settings: chains, vocabulary and counts, or the refusal.
  std::string OutcomeOf(const std::string& yaml) {
    const fs::path store = folder_ / fmt::format("store-{}", ++stores_);
    const fs::path file = folder_ / "settings.yaml";
    std::ofstream(file) << yaml;
    try {
      IngestOptions options;
      options.source = meds();
      options.out = store;
      options.settings = LoadIngestSettings(file);
      const IngestReport report = Ingest(options);
      std::string outcome;
      for (const auto* lines : {&report.dropped, &report.warnings, &report.notes}) {
        for (const auto& line : *lines) outcome += fmt::format("{} {}\n", line.key, line.count);
      }
      const ChainStore chains = ChainStore::Open(store);
      for (std::int64_t i = 0; i < chains.num_subjects(); ++i) {
        outcome += ReadableChain(chains, i);
      }
      return outcome + ReadFile(store / "vocabulary.json") +
             (fs::exists(store / "codes.json") ? ReadFile(store / "codes.json") : "");
    } catch (const InputError& error) {
      return std::string("refused: ") + error.what();
    }
  }

 private:
  using Texts = std::vector<std::optional<std::string>>;

  fs::path meds() const { return folder_ / "meds"; }
  void Row(const std::string& subject, const std::string& time, const std::string& code,
           const std::string& value = "", const std::string& text = "") {
    const auto known = [](const std::string& one) {
      return one.empty() ? std::nullopt : std::optional(one);
    };
    subjects_.push_back(subject);
    times_.push_back(known(time));
    codes_.push_back(code);
    values_.push_back(known(value));
    texts_.push_back(known(text));
    wards_.push_back("ward " + subject);
  }

  testing::TempFolder folder_;
  int stores_ = 0;
  Texts subjects_, times_, codes_, values_, texts_, wards_;
};

// A value that is not the default, and the setting without which it would not be read.
struct Change {
  std::string yaml;
  std::string with = "";
};

const std::map<std::string, Change>& SettingChanges() {
  static const std::map<std::string, Change> changes = {
      {"order", {"source"}},
      {"after_death", {"keep"}},
      {"before_birth", {"drop"}},
      {"duplicates", {"drop"}},
      {"date_only", {"end_of_day"}},
      {"code_columns", {"[ward]"}},
      {"event_columns", {"[ward]"}},
      {"stay_column", {"stay"}},
      {"static_codes", {"[HEIGHT]"}},
      {"value_tokens", {"separate"}},
      {"value_bins", {"3"}},
      {"values", {"[{code: LAB, factor: 2}]"}},
      {"text_results", {"false"}},
      {"text_result_max_bytes", {"9"}},
      {"min_subjects", {"2"}},
      {"keep_codes", {"[RARE]", "min_subjects: 2\n"}},
      {"parent_fallback", {"false", "min_subjects: 2\n"}},
      {"truncations", {"[]", "min_subjects: 2\n"}},
      {"gap_tokens", {"false"}},
      {"gap_edges", {"[1d]"}},
      {"age_bin_years", {"1"}},
  };
  return changes;
}

TEST(EverySettingTest, ChangesTheOutcome) {
  RecordsWithEverything records;
  const std::string few = "min_subjects: 1\n";  // of two subjects everything has its token
  std::map<std::string, std::string> plain;
  const std::vector<SettingsSection> sections = IngestSettingsSections();
  for (const SettingsField& field : sections.at(0).fields) {
    ASSERT_TRUE(SettingChanges().contains(field.name)) << field.name << ": no value to try";
    const Change& change = SettingChanges().at(field.name);
    const std::string with =
        change.with.empty() && field.name != "min_subjects" ? few : change.with;
    if (!plain.contains(with)) {
      plain[with] = records.OutcomeOf(with);
      EXPECT_FALSE(plain[with].starts_with("refused")) << plain[with];
    }
    const std::string outcome =
        records.OutcomeOf(fmt::format("{}{}: {}\n", with, field.name, change.yaml));
    EXPECT_NE(outcome, plain[with]) << field.name << ": nothing reads this setting";
    EXPECT_FALSE(outcome.starts_with("refused")) << outcome;
  }
}

TEST(EverySettingTest, ComesBackFromTheStoresText) {
  testing::TempFolder folder;
  const std::string plain = ToJson(IngestSettings{});
  EXPECT_EQ(ToJson(IngestSettingsFromJson(plain)), plain);
  for (const auto& [name, change] : SettingChanges()) {
    const fs::path file = folder / "settings.yaml";
    // 0 is the default of min_subjects, 2 what the others are tried with.
    std::ofstream(file) << name << ": " << change.yaml << "\n";
    const std::string text = ToJson(LoadIngestSettings(file));
    EXPECT_NE(text, plain) << name;
    EXPECT_EQ(ToJson(IngestSettingsFromJson(text)), text) << name;
  }
}

TEST(EverySettingTest, IsDocumented) {
  EXPECT_THAT(Document("records.md"), ::testing::HasSubstr(SectionsText(IngestSettingsSections())));
}

}  // namespace
}  // namespace sequela
