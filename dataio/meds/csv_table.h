// The wanted columns of a CSV table, from its bytes.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "dataio/meds/csv_parser.h"
#include "dataio/meds/text_table.h"

namespace sequela {

// One thread at a time.
class CsvTableReader {
 public:
  using Consume = std::function<void(const TextBatch&)>;
  CsvTableReader(std::string file, std::vector<WantedColumn> columns, char delimiter,
                 Consume consume);

  // The next piece of the table's text; an empty one ends it. Throws as ReadTextTable does.
  void Feed(std::string_view text);

 private:
  void ReadHeading(std::span<const std::string_view> names);
  std::string AdviceFor(const std::vector<std::string>& heading) const;
  void AddRow(std::int64_t line, std::span<const std::string_view> fields);
  void HandOn();

  std::string file_;
  std::vector<WantedColumn> columns_;
  char delimiter_;
  Consume consume_;
  CsvParser parser_;
  bool begun_ = false;
  std::string begin_;  // of the text, until its byte order mark can be told
  std::vector<std::string> heading_;
  std::vector<std::size_t> places_;  // [columns] among the heading's
  // The rows of the next batch.
  std::vector<std::string> bytes_;              // [columns] the values one behind the other
  std::vector<std::vector<std::size_t>> ends_;  // [columns][rows] in them
  std::vector<std::int64_t> lines_;             // [rows]
  std::size_t num_bytes_ = 0;
  std::int64_t first_row_ = 0;
};

}  // namespace sequela
