// The mapping of `sequela ingest-csv`, and the codes that its templates make of a row.
#include "dataio/ingest/csv_mapping.h"

#include "kernels/base/check.h"
#include "tests/fuzz/target.h"

namespace sequela::testing {

void ReadCsvMapping(std::string_view input) {
  const CsvMapping mapping = LoadCsvMapping(FileInMemory(input));
  for (const CsvTable& table : mapping.tables) {
    SEQUELA_CHECK(!table.events.empty());
    for (const CsvEvent& event : table.events) {
      SEQUELA_CHECK(!event.codes.empty());
      for (const CodeTemplate& code : event.codes) {
        const std::vector<std::string_view> row(code.columns().size(), "a//b/ c");
        bool complete = false;
        SEQUELA_CHECK(!code.Expand(row, &complete).empty());
      }
    }
  }
}

}  // namespace sequela::testing
