// Tables of any shape as columns of text: .csv, .csv.gz (with a heading line) and .parquet. In a
// build without Arrow ReadTextTable throws InputError.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace sequela {

struct WantedColumn {
  std::string name;
  bool as_text = true;  // false: of a typed time column the times alone are wanted
};

struct TextColumn {
  // [n] UTF-8, empty for null; numbers, dates ("2150-01-31") and times ("2150-01-31 10:00:00", with
  // a fraction of six digits where there is one) as they print. Empty strings where a typed time
  // column was not wanted as text.
  std::vector<std::string_view> text;
  std::vector<std::int64_t> time_us;  // [n] kStaticTime for null; only of typed time columns
  bool typed_time = false;            // Parquet's timestamps and dates
  bool local_clock = false;           // timestamps without a time zone
};

struct TextBatch {
  const std::string* file = nullptr;
  std::int64_t first_row = 0;  // of the batch, within the table, from 0
  std::int64_t rows = 0;
  std::vector<std::int64_t> line;   // [n] where the row begins, from 1; empty for Parquet
  std::vector<TextColumn> columns;  // as asked for

  // For messages: "labs.csv, line 7" or "labs.parquet, row 5".
  std::string Place(std::size_t row) const;
};

// Hands the wanted columns on in batches of bounded size, in order. `delimiter` is that of CSV.
// Throws InputError naming the file, and the column that does not exist with those that do, that
// exists twice, or whose type no text can stand for; or the line or row that cannot be read: another
// number of fields than the heading, a quote that is not closed, text that is not UTF-8, a time in
// another zone than UTC or finer than a microsecond. Messages hold no value of a row.
void ReadTextTable(const std::filesystem::path& file, const std::vector<WantedColumn>& columns,
                   char delimiter, const std::function<void(const TextBatch&)>& consume);

}  // namespace sequela
