// ctest: labels=data timeout=300 arrow
// Every event of the MIMIC-IV demo (ODbL 1.0; PhysioNet) comes back from its store: code,
// microsecond, value. Skipped where the data is absent: SEQUELA_SHARED_DATA, or ../shared/data
// beside the project.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <tuple>

#include "dataio/ingest/ingest.h"
#include "dataio/ingest/ingest_csv.h"
#include "dataio/meds/event_file.h"
#include "dataio/store/chain_store.h"
#include "tests/testing/temp_folder.h"

namespace sequela {
namespace {

namespace fs = std::filesystem;

fs::path DataFolder() {
  const char* given = std::getenv("SEQUELA_SHARED_DATA");
  return given != nullptr ? fs::path(given)
                          : fs::path(SEQUELA_SOURCE_DIR).parent_path() / "shared" / "data";
}

// Subject, time, code, bits of the value.
using Event = std::tuple<std::int64_t, std::int64_t, std::string, std::uint32_t>;

std::uint32_t Bits(float value) {
  return value != value ? 0x7fc00000U : std::bit_cast<std::uint32_t>(value);
}

std::vector<Event> EventsOfFile(const fs::path& file) {
  EventColumns columns;
  columns.value = "value";
  const EventFile source = EventFile::Open(file, columns);
  std::vector<Event> events;
  EventReadCounts counts;
  for (int group = 0; group < source.num_row_groups(); ++group) {
    source.ReadRowGroup(
        group,
        [&](const EventBatch& batch) {
          for (std::size_t i = 0; i < static_cast<std::size_t>(batch.rows()); ++i) {
            events.emplace_back(batch.subject[i], batch.time_us[i],
                                std::string(batch.code.dictionary[batch.code.index[i]]),
                                Bits(batch.value[i]));
          }
        },
        counts);
  }
  return events;
}

std::vector<Event> EventsOfStore(const ChainStore& store) {
  std::vector<Event> events;
  for (std::int64_t s = 0; s < store.num_subjects(); ++s) {
    const ChainView chain = store.chain(s);
    for (std::size_t i = 0; i < chain.code.size(); ++i) {
      if (chain.code[i] == kNoCode) continue;
      events.emplace_back(chain.subject_id, chain.time_us[i], store.codes()[chain.code[i]].code,
                          Bits(chain.value[i]));
    }
  }
  return events;
}

TEST(MimicDemoTest, EveryEventComesBackFromTheStore) {
  const fs::path data = DataFolder() / "mimic-iv-demo-meds";
  if (!fs::exists(data / "all_events.parquet")) GTEST_SKIP() << "no MIMIC-IV demo at " << data;
  testing::TempFolder root;
  IngestCsvOptions csv{
      LoadCsvMapping(fs::path(SEQUELA_SOURCE_DIR) / "configs" / "mimic_iv_demo.yaml"),
      root / "meds"};
  csv.mapping.folder = data;
  const IngestCsvReport made = IngestCsv(csv);
  EXPECT_EQ(made.subjects[0], 80);
  IngestOptions options;
  options.source = root / "meds";
  options.out = root / "store";
  options.workers = 2;
  options.settings.after_death = IngestSettings::Keep::kKeep;
  const IngestReport report = Ingest(options);
  EXPECT_TRUE(report.dropped.empty());

  std::vector<Event> expected = EventsOfFile(data / "all_events.parquet");
  std::vector<Event> found = EventsOfStore(ChainStore::Open(options.out));
  ASSERT_EQ(expected.size(), 916'166U);
  ASSERT_EQ(found.size(), expected.size());
  std::sort(expected.begin(), expected.end());
  std::sort(found.begin(), found.end());
  EXPECT_TRUE(found == expected);
}

}  // namespace
}  // namespace sequela
