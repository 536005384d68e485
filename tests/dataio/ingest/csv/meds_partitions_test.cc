// ctest: labels=sanitize timeout=120 arrow
// Events in any order to data files: the files' rows do not depend on the order in which they come
// nor on the number of partitions, and texts find their events.
#include "dataio/ingest/csv/meds_partitions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <random>

#include "dataio/base/missing_values.h"
#include "dataio/meds/event_file.h"
#include "dataio/meds/text_table.h"
#include "tests/testing/temp_folder.h"

namespace sequela {
namespace {

namespace fs = std::filesystem;

using ::testing::ElementsAre;

constexpr std::int64_t kMemory = 64 << 20;
constexpr std::int64_t kHour = 3'600'000'000;

struct Event {
  MedsEvent event;
  std::string text;
};

// The rows of each subject, in the order of the file that holds it.
using Rows = std::map<std::string, std::vector<std::string>>;

struct Dataset {
  testing::TempFolder folder;
  MedsPartitions::Written written;
  std::size_t files = 0;

  Dataset(const std::vector<Event>& events, std::int64_t event_bytes) {
    MedsPartitions partitions(folder.path(), "test", event_bytes, kMemory);
    for (const Event& event : events) {
      MedsEvent copy = event.event;
      copy.text = event.text;
      partitions.Append(copy);
    }
    written = partitions.Write(
        [](std::int64_t subject) { return subject % 2 == 0 ? Split::kTrain : Split::kHeldOut; });
  }

  Rows Read() {
    Rows rows;
    const std::vector<WantedColumn> columns = {
        {"subject_id"}, {"time"}, {"code"}, {"numeric_value"}, {"text_value"}};
    for (const auto& entry : fs::recursive_directory_iterator(folder / "data")) {
      if (!entry.is_regular_file()) continue;
      ++files;
      ReadTextTable(entry.path(), columns, ',', [&](const TextBatch& batch) {
        for (std::size_t i = 0; i < static_cast<std::size_t>(batch.rows); ++i) {
          std::string row = entry.path().parent_path().filename();
          for (const TextColumn& column : batch.columns) row += "|" + std::string(column.text[i]);
          rows[std::string(batch.columns[0].text[i])].push_back(row);
        }
      });
    }
    return rows;
  }
};

std::vector<Event> ManyEvents() {
  std::vector<Event> events;
  for (std::uint32_t row = 0; row < 6000; ++row) {
    MedsEvent event;
    event.subject_id = row % 37;
    event.time_us = row % 11 == 0 ? kStaticTime : (row / 300) * kHour;
    event.code = row % 2 == 0 ? "A" : "B";
    event.value = static_cast<float>(row);
    event.sequence = row % 3;
    event.row = row;
    events.push_back(
        {event, row % 4 == 0 ? "" : std::string(row % 700, 'n') + std::to_string(row)});
  }
  return events;
}

TEST(MedsPartitionsTest, RowsDependNeitherOnTheirOrderNorOnThePartitions) {
  std::vector<Event> events = ManyEvents();
  Dataset one(events, 1);
  const Rows rows = one.Read();
  EXPECT_EQ(one.files, 2U);
  ASSERT_EQ(rows.size(), 37U);
  std::size_t count = 0;
  for (const auto& [subject, of_subject] : rows) count += of_subject.size();
  EXPECT_EQ(count, 6000U);
  for (const unsigned seed : {1U, 2U}) {
    std::shuffle(events.begin(), events.end(), std::mt19937(seed));
    Dataset many(events, 20 * kMemory);
    EXPECT_EQ(many.Read(), rows);
    EXPECT_GT(many.files, 20U);
    EXPECT_EQ(many.written.codes, one.written.codes);
  }
}

TEST(MedsPartitionsTest, EventsOfOneTimeStandInOrderOfSequenceRowAndNumber) {
  std::vector<Event> events;
  for (const auto& [sequence, row, number] :
       std::vector<std::array<int, 3>>{{1, 0, 0}, {0, 2, 1}, {0, 2, 0}, {0, 1, 5}}) {
    MedsEvent event{2, kHour, "A"};
    event.value = static_cast<float>(events.size());
    event.sequence = static_cast<std::uint32_t>(sequence);
    event.row = static_cast<std::uint32_t>(row);
    event.number = static_cast<std::uint16_t>(number);
    events.push_back({event, "t" + std::to_string(events.size())});
  }
  EXPECT_THAT(
      Dataset(events, 1).Read()["2"],
      ElementsAre("train|2|1970-01-01 01:00:00|A|3|t3", "train|2|1970-01-01 01:00:00|A|2|t2",
                  "train|2|1970-01-01 01:00:00|A|1|t1", "train|2|1970-01-01 01:00:00|A|0|t0"));
}

TEST(MedsPartitionsTest, NoSpilledFileIsLeft) {
  Dataset dataset(ManyEvents(), 20 * kMemory);
  for (const auto& entry : fs::directory_iterator(dataset.folder.path())) {
    EXPECT_EQ(entry.path().filename(), "data");
  }
}

TEST(MedsPartitionsTest, RowGroupsEndByBytes) {
  std::vector<Event> events;
  for (std::uint32_t row = 0; row < 20; ++row) {
    MedsEvent event{2, kHour, "A"};
    event.row = row;
    events.push_back({event, std::string(1 << 20, static_cast<char>('a' + row))});
  }
  Dataset dataset(events, 1);
  // 20 MiB of texts in groups of a sixteenth of 64 MiB.
  const EventFile file = EventFile::Open(dataset.folder / "data" / "train" / "0.parquet", {});
  EXPECT_EQ(file.num_row_groups(), 5);
  EXPECT_EQ(dataset.Read()["2"].size(), 20U);
}

}  // namespace
}  // namespace sequela
