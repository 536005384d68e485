#include "tests/testing/arrow/csv_dataset.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "dataio/base/missing_values.h"
#include "dataio/meds/text_table.h"
#include "tests/testing/message_of.h"

namespace sequela::testing {

namespace fs = std::filesystem;

CsvDataset& CsvDataset::Table(const std::string& name, const std::string& text) {
  std::ofstream(folder_ / name, std::ios::binary) << text;
  return *this;
}

IngestCsvReport CsvDataset::Ingest(const std::string& mapping, std::int64_t memory_bytes) {
  Table("mapping.yaml", "dataset: {name: test}\nfolder: .\n" + mapping);
  fs::remove_all(meds());
  return IngestCsv({LoadCsvMapping(folder_ / "mapping.yaml"), meds(), memory_bytes});
}

std::string CsvDataset::Refusal(const std::string& mapping) {
  return MessageOf([&] { Ingest(mapping); });
}

std::vector<std::string> CsvDataset::Rows() const {
  std::vector<std::string> rows;
  for (const auto& entry : fs::recursive_directory_iterator(meds() / "data")) {
    if (!entry.is_regular_file()) continue;
    std::vector<WantedColumn> columns = {{"subject_id"}, {"time"}, {"code"}, {"numeric_value"}};
    const auto read = [&] {
      ReadTextTable(entry.path(), columns, ',', [&](const TextBatch& batch) {
        for (std::size_t i = 0; i < static_cast<std::size_t>(batch.rows); ++i) {
          std::string row;
          for (const TextColumn& column : batch.columns) {
            row += (row.empty() ? "" : " ") +
                   (column.text[i].empty() ? "-" : std::string(column.text[i]));
          }
          rows.push_back(row + (columns.size() == 4 ? " -" : ""));
        }
      });
    };
    columns.push_back({"text_value"});
    const std::string message = MessageOf(read);
    if (message == "accepted") continue;
    columns.pop_back();
    read();
  }
  std::sort(rows.begin(), rows.end());
  return rows;
}

}  // namespace sequela::testing
