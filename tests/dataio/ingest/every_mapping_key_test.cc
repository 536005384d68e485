// ctest: labels=sanitize timeout=180 arrow
// Every key of a CSV mapping is read by something: with another value the same tables leave another
// dataset, or another message. docs/ingest-csv.md has the tables of keys.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <map>

#include "dataio/ingest/csv_mapping.h"
#include "dataio/ingest/ingest_csv.h"
#include "kernels/base/atomic_file.h"
#include "kernels/base/errors.h"
#include "tests/testing/arrow/csv_dataset.h"
#include "tests/testing/arrow/odd_parquet.h"

namespace sequela {
namespace {

namespace fs = std::filesystem;
using testing::CsvDataset;

std::string Document(const std::string& name) {
  return ReadFile(std::string(SEQUELA_SOURCE_DIR) + "/docs/" + name);
}

// Two tables, one of them of stays; `more` has the lines that replace others by their key.
struct Mapping {
  std::map<std::string, std::string> top;
  std::map<std::string, std::string> table;    // of labs.csv
  std::map<std::string, std::string> event;    // its one event
  std::map<std::string, std::string> anchors;  // stays.csv; empty: none
};

std::string Flow(const std::map<std::string, std::string>& keys) {
  std::string text;
  for (const auto& [key, value] : keys) {
    if (value.empty()) continue;
    text += fmt::format("{}{}: {}", text.empty() ? "" : ", ", key, value);
  }
  return "{" + text + "}";
}

Mapping PlainMapping() {
  return {{{"dataset", "{name: lab}"}, {"time_offsets", "utc"}, {"lost_share", "0.5"}},
          {{"file", "labs.csv"}, {"subject", "id"}, {"time", "time"}},
          {{"code", "\"LAB//{test}\""}, {"value", "value"}},
          {}};
}

// Events by minutes from the start of a stay.
Mapping MappingWithStays() {
  Mapping mapping = PlainMapping();
  mapping.table = {{"file", "labs.csv"}, {"key", "stay"}};
  mapping.event = {{"code", "\"LAB//{test}\""}, {"offset_minutes", "minutes"}};
  mapping.anchors = {{"file", "stays.csv"},
                     {"key", "stay"},
                     {"subject", "id"},
                     {"group", "hospital"},
                     {"year", "year"},
                     {"time_of_day", "clock"},
                     {"start_offset_minutes", "start"},
                     {"end_offset_minutes", "end"}};
  return mapping;
}

class MappingOutcome {
 public:
  MappingOutcome() {
    data_.Table("labs.csv",
                "id,stay,time,day,test,value,note,minutes,later\n"
                "1,11,2020-01-01 10:00,03/04/2020,k,4.5%,low,10,400\n"
                "1,12,2020-01-02 10:00,03/05/2020,na,> 89,,20,500\n"
                "2-3,13,2020-01-03T10:00+02:00,03/06/2020,k,x,high,30,600\n"
                "2-3,13,,03/06/2020,glucose,7,high,40,700\n");
    data_.Table("more.csv", "id;time;test;value\n9;2020-01-01 10:00;k;1\n");
    data_.Table(
        "stays.csv",
        "id,stay,hospital,year,clock,start,end,other_id,other_stay,group2,year2,clock2,start2,"
        "end2,rank\n"
        "1,11,5,2015,08:00:00,-5,900,7,12,6,2016,09:00:00,-9,15,2\n"
        "1,12,6,2015,09:00:00,-5,900,7,11,6,2017,10:00:00,-8,15,1\n"
        "2,13,7,2016,08:00:00,-5,900,8,13,7,2018,10:00:00,-7,15,1\n");
    data_.Table("stays2.csv",
                "id;stay;hospital;year;clock;start;end\n1;11;5;2012;08:00:00;0;900\n"
                "1;12;6;2012;08:00:00;0;900\n2;13;7;2013;08:00:00;0;900\n");
    testing::WriteOddParquet(
        data_.folder() / "splits.parquet",
        {{"subject_id", "int64", {"1", "2"}}, {"split", "string", {"held_out", "held_out"}}});
    testing::WriteOddParquet(
        data_.folder() / "codes.parquet",
        {{"code", "string", {"LAB//k"}}, {"description", "string", {"Potassium"}}});
  }

  std::string Of(const Mapping& mapping) {
    std::string yaml;
    for (const auto& [key, value] : mapping.top) yaml += fmt::format("{}: {}\n", key, value);
    if (!mapping.anchors.empty()) yaml += "anchors: " + Flow(mapping.anchors) + "\n";
    auto table = mapping.table;
    table.try_emplace("events", "[" + Flow(mapping.event) + "]");
    if (!mapping.top.contains("tables")) yaml += "tables: [" + Flow(table) + "]\n";
    const fs::path file = data_.folder() / "mapping.yaml";
    std::ofstream(file) << yaml;
    const fs::path out = data_.folder() / fmt::format("meds-{}", ++runs_);
    try {
      const IngestCsvReport report = IngestCsv({LoadCsvMapping(file), out});
      std::string outcome = fmt::format("{} codes\n", report.num_codes);
      for (const auto& one : report.tables) {
        outcome +=
            fmt::format("{} {} {} {}\n", one.file, one.events, one.skipped, one.lost.total());
      }
      for (const auto& entry : fs::recursive_directory_iterator(out)) {
        if (!entry.is_regular_file()) continue;
        // Times of creation and paths apart, the bytes are the events.
        const std::string name = fs::relative(entry.path(), out).string();
        if (name == "metadata/dataset.json") {
          const std::string text = ReadFile(entry.path());
          outcome += text.substr(0, text.find("created_at"));
        } else {
          outcome +=
              name + fmt::format(" {:x}\n", std::hash<std::string>{}(ReadFile(entry.path())));
        }
      }
      return outcome;
    } catch (const InputError& error) {
      return std::string("refused: ") + error.what();
    }
  }

 private:
  CsvDataset data_;
  int runs_ = 0;
};

using Edit = std::function<void(Mapping&)>;

// How a key is changed, from which mapping.
struct KeyChange {
  Edit edit;
  Mapping from = PlainMapping();
};

Mapping Changed(Mapping mapping, const Edit& edit) {
  edit(mapping);
  return mapping;
}

using Changes = std::map<std::string, KeyChange>;

// Sets the key itself in its own map.
template <typename Member>
Edit Set(Member member, const std::string& key, const std::string& value) {
  return [=](Mapping& m) { (m.*member)[key] = value; };
}

Changes TopChanges() {
  const auto set = [](const std::string& key, const std::string& value) {
    return Set(&Mapping::top, key, value);
  };
  const std::string pattern = "'^([0-9]+)-([0-9]+)$'";
  return {{"dataset", {set("dataset", "{name: other}")}},
          {"folder", {set("folder", "elsewhere")}},
          {"delimiter", {set("delimiter", "\";\"")}},
          {"splits", {set("splits", "splits.parquet")}},
          {"codes", {set("codes", "codes.parquet")}},
          {"anchors", {[](Mapping& m) { m.anchors.clear(); }, MappingWithStays()}},
          {"tables", {set("tables", "[]")}},
          {"subject_pattern", {set("subject_pattern", pattern)}},
          {"subject_scale",
           {set("subject_scale", "10"), Changed(PlainMapping(), set("subject_pattern", pattern))}},
          {"time_offsets", {set("time_offsets", "local")}},
          {"lost_share", {set("lost_share", "0.1")}},
          {"numbers", {set("numbers", "{\"> 89\": 90}")}}};
}

Changes DatasetChanges() {
  Changes changes;
  for (const auto& [key, value] :
       std::map<std::string, std::string>{{"name", "{name: other}"},
                                          {"version", "{name: lab, version: \"7\"}"},
                                          {"license", "{name: lab, license: ODbL}"}}) {
    changes[key] = {Set(&Mapping::top, "dataset", value)};
  }
  return changes;
}

Changes TableChanges() {
  const auto set = [](const std::string& key, const std::string& value) {
    return Set(&Mapping::table, key, value);
  };
  return {{"file", {set("file", "more.csv")}},
          {"key", {set("key", "id"), MappingWithStays()}},
          {"subject", {set("subject", "stay")}},
          {"delimiter", {set("delimiter", "\";\"")}},
          {"events", {set("events", "[{code: OTHER}]")}},
          {"measurements", {set("measurements", "[minutes]")}},
          {"prefix",
           {set("prefix", "MEASURED"), Changed(PlainMapping(), set("measurements", "[minutes]"))}}};
}

Changes EventChanges() {
  const auto set = [](const std::string& key, const std::string& value) {
    return Set(&Mapping::event, key, value);
  };
  const auto events = [](const std::string& list) { return Set(&Mapping::table, "events", list); };
  const auto by_day = [&](Mapping& m) {
    m.table["time"] = "day";
    m.event["time_format"] = "\"%d/%m/%Y\"";
  };
  return {{"code", {set("code", "\"OTHER//{test}\"")}},
          {"value", {set("value", "minutes")}},
          {"value_suffix", {set("value_suffix", "\"%\"")}},
          {"require_value", {set("require_value", "true")}},
          {"text", {set("text", "note")}},
          {"offset_minutes", {set("offset_minutes", "later"), MappingWithStays()}},
          {"time", {set("time", "day")}},
          {"time_format", {set("time_format", "\"%m/%d/%Y\""), Changed(PlainMapping(), by_day)}},
          {"empty_time", {set("empty_time", "skip")}},
          {"static", {[](Mapping& m) {
             m.table.erase("time");
             m.event["static"] = "true";
           }}},
          {"birth_age",
           {[](Mapping& m) {
              m.event.erase("offset_minutes");
              m.event["birth_age"] = "minutes";
            },
            MappingWithStays()}},
          {"when", {set("when", "{test: \"^k$\"}")}},
          {"unless", {set("unless", "{test: \"^k$\"}")}},
          {"once", {set("once", "per_subject"), MappingWithStays()}},
          {"order",
           {events("[{code: B, order: 9}, {code: A, order: 1}]"),
            Changed(PlainMapping(), events("[{code: B}, {code: A}]"))}},
          {"allow_lost",
           {set("allow_lost", "[no_time]"),
            Changed(PlainMapping(), Set(&Mapping::top, "lost_share", "0.1"))}}};
}

Changes AnchorChanges() {
  Changes changes;
  for (const auto& [key, value] :
       std::map<std::string, std::string>{{"file", "stays2.csv"},
                                          {"key", "other_stay"},
                                          {"subject", "other_id"},
                                          {"group", "group2"},
                                          {"year", "year2"},
                                          {"time_of_day", "clock2"},
                                          {"start_offset_minutes", "start2"},
                                          {"end_offset_minutes", "end2"},
                                          {"delimiter", "\";\""},
                                          {"order_by", "[rank]"}}) {
    changes[key] = {Set(&Mapping::anchors, key, value), MappingWithStays()};
  }
  return changes;
}

TEST(EveryMappingKeyTest, ChangesTheOutcome) {
  MappingOutcome outcome;
  for (const Mapping& mapping : {PlainMapping(), MappingWithStays()}) {
    EXPECT_FALSE(outcome.Of(mapping).starts_with("refused")) << outcome.Of(mapping);
    EXPECT_EQ(outcome.Of(mapping), outcome.Of(mapping));
  }
  const std::vector<Changes> changes = {TopChanges(), DatasetChanges(), TableChanges(),
                                        EventChanges(), AnchorChanges()};
  const std::vector<SettingsSection> sections = CsvMappingSections();
  ASSERT_EQ(sections.size(), changes.size());
  for (std::size_t i = 0; i < sections.size(); ++i) {
    for (const SettingsField& field : sections[i].fields) {
      ASSERT_TRUE(changes[i].contains(field.name)) << field.name << ": no value to try";
      const KeyChange& change = changes[i].at(field.name);
      EXPECT_NE(outcome.Of(Changed(change.from, change.edit)), outcome.Of(change.from))
          << sections[i].title << ", " << field.name << ": nothing reads this key";
    }
  }
}

TEST(EveryMappingKeyTest, IsDocumented) {
  EXPECT_THAT(Document("ingest-csv.md"), ::testing::HasSubstr(SectionsText(CsvMappingSections())));
}

}  // namespace
}  // namespace sequela
