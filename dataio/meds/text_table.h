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

struct TextColumn {
  std::vector<std::string_view> text;  // [n] empty for null; numbers as they print
  std::vector<std::int64_t> time_us;   // [n] kStaticTime for null; only of typed time columns
  bool is_time() const { return !time_us.empty(); }
};

struct TextBatch {
  std::int64_t first_row = 0;  // of the batch, within the table, from 0
  std::int64_t rows = 0;
  std::vector<TextColumn> columns;  // as asked for
};

// Hands the wanted columns on in batches, in order. Throws InputError naming the file and the
// column that does not exist, with the nearest that does, or the line that cannot be read.
void ReadTextTable(const std::filesystem::path& file, const std::vector<std::string>& columns,
                   const std::function<void(const TextBatch&)>& consume);

}  // namespace sequela
