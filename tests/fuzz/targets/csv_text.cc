// The text of a CSV table, through the reader of `sequela ingest-csv` to the events of a mapping that
// uses most of what a mapping can ask for. An input's first byte is the size of the pieces in which
// the text comes: where they are cut must change nothing.
#include <optional>

#include "dataio/ingest/csv/csv_events.h"
#include "dataio/ingest/csv/csv_subjects.h"
#include "dataio/meds/csv_table.h"
#include "kernels/base/check.h"
#include "kernels/base/errors.h"
#include "tests/fuzz/target.h"

namespace sequela::testing {
namespace {

constexpr std::string_view kMapping = R"(
dataset: {name: fuzz, version: "1"}
numbers: {"> 89": "90"}
time_offsets: utc
tables:
- file: t.csv
  subject: id
  events:
  - {code: ["LAB//{name|upper}", "LAB//{name|last:2:/}//{note}"], time: time, value: value,
     value_suffix: "%", text: note}
  - {code: "DAY//{note|exact}", time: day, time_format: "%d/%m/%Y %H:%M", empty_time: skip,
     when: {name: "^[A-Za-z]+$"}}
  - {code: "{name|after:x|droplast:-}", static: true, value: value, require_value: true,
     unless: {note: "^$"}}
)";

const CsvMapping& Mapping() {
  static const CsvMapping mapping = LoadCsvMapping(FileInMemory(kMapping));
  return mapping;
}

// What comes of a table: its events, one a line; nothing where the text is refused.
std::optional<std::string> EventsOf(std::string_view text, std::size_t piece_bytes) {
  const CsvTable& table = Mapping().tables[0];
  ColumnList columns;
  columns.Add(*table.subject);
  std::vector<BoundEvent> events = BindEvents(table, 0, columns);
  SubjectIds subjects(Mapping());
  CsvEventReader reader(Mapping());
  std::string found;
  const auto consume = [&](const TextBatch& batch) {
    for (std::size_t row = 0; row < static_cast<std::size_t>(batch.rows); ++row) {
      const auto subject = subjects.IdOf(batch.columns[0].text[row], batch, row);
      for (BoundEvent& event : events) {
        const auto one = subject ? reader.Read(event, batch, row, nullptr) : std::nullopt;
        if (!one) continue;
        found += fmt::format("{} {} {} {} {} {}\n", batch.Place(row), *subject, one->time_us,
                             one->code, one->value, one->text);
      }
    }
  };
  try {
    CsvTableReader csv("t.csv", columns.columns(), table.delimiter, consume);
    for (std::size_t at = 0; at < text.size(); at += piece_bytes) {
      csv.Feed(text.substr(at, piece_bytes));
    }
    csv.Feed("");
  } catch (const InputError&) {
    return std::nullopt;
  }
  return found;
}

}  // namespace

void ReadCsvText(std::string_view input) {
  if (input.empty()) return;
  const auto piece_bytes = static_cast<std::size_t>(static_cast<unsigned char>(input[0])) + 1;
  const std::string_view text = input.substr(1);
  SEQUELA_CHECK(EventsOf(text, piece_bytes) == EventsOf(text, text.size() + 1));
}

}  // namespace sequela::testing
