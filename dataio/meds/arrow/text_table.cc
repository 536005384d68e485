#include "dataio/meds/text_table.h"

#include <arrow/compute/cast.h>
#include <arrow/io/compressed.h>
#include <arrow/io/file.h>
#include <arrow/record_batch.h>
#include <arrow/util/compression.h>
#include <parquet/arrow/reader.h>
#include <parquet/arrow/schema.h>
#include <parquet/metadata.h>

#include <algorithm>
#include <deque>
#include <system_error>

#include "dataio/base/missing_values.h"
#include "dataio/meds/arrow/event_columns.h"
#include "dataio/meds/arrow/parquet_reader.h"
#include "dataio/meds/csv_table.h"
#include "dataio/meds/text_columns.h"
#include "kernels/base/errors.h"

namespace sequela {
namespace {

namespace fs = std::filesystem;
using arrow::Type;

constexpr std::int64_t kReadBytes = 1 << 20;
constexpr std::int64_t kBatchBytes = 8 << 20;
constexpr std::int64_t kBatchRows = 16 * 1024;

// What a batch's views refer to, besides the batch.
struct KeptAlive {
  std::vector<std::shared_ptr<arrow::Array>> arrays;
  std::deque<std::string> texts;
};

bool IsDate(const arrow::DataType& type) {
  return type.id() == Type::DATE32 || type.id() == Type::DATE64;
}

bool PrintsByCast(const arrow::DataType& type) {
  return IsNumberType(type) || type.id() == Type::BOOL || type.id() == Type::TIME32 ||
         type.id() == Type::TIME64;
}

void CheckType(const arrow::DataType& type, const ColumnPlace& place) {
  if (type.num_fields() > 0) {
    throw InputError(
        "{}, column '{}': its type {} is nested, and a mapping reads plain columns. Write its "
        "parts "
        "as columns of their own.",
        *place.file, *place.column, type.ToString());
  }
  if (IsDate(type) || type.id() == Type::TIMESTAMP) return CheckTimeType(type, place);
  if (!PrintsByCast(type)) CheckStringType(type, place);
}

TextColumn TimesAndTexts(const arrow::Array& array, const ColumnPlace& place, bool as_text,
                         KeptAlive& alive) {
  TextColumn column;
  const bool date = IsDate(*array.type());
  column.typed_time = true;
  column.local_clock =
      !date && static_cast<const arrow::TimestampType&>(*array.type()).timezone().empty();
  column.time_us = TimesOf(array, place);
  column.text.resize(column.time_us.size());
  for (std::size_t i = 0; as_text && i < column.text.size(); ++i) {
    if (column.time_us[i] == kStaticTime) continue;
    column.text[i] = alive.texts.emplace_back(PrintTime(column.time_us[i], date));
  }
  return column;
}

TextColumn ColumnOf(std::shared_ptr<arrow::Array> array, const ColumnPlace& place, bool as_text,
                    KeptAlive& alive) {
  const arrow::DataType& type = *array->type();
  if (IsDate(type) || type.id() == Type::TIMESTAMP) {
    return TimesAndTexts(*array, place, as_text, alive);
  }
  if (PrintsByCast(type)) {
    array = ReadOrRefuse(*place.file, ", column '" + *place.column + "'",
                         [&] { return arrow::compute::Cast(*array, arrow::utf8()); });
    alive.arrays.push_back(array);
  }
  const StringColumn strings = StringsOf(*array, 0);
  TextColumn column;
  column.text.resize(strings.index.size());
  for (std::size_t i = 0; i < strings.index.size(); ++i) {
    if (strings.index[i] == StringColumn::kNull) continue;
    if (!strings.invalid.empty() && strings.invalid[strings.index[i]]) {
      throw InputError(
          "{}, row {}, column '{}': bytes that are not UTF-8 text. Write the column as UTF-8 "
          "strings.",
          *place.file, place.first_row + static_cast<std::int64_t>(i), *place.column);
    }
    column.text[i] = strings.dictionary[strings.index[i]];
  }
  return column;
}

// Fewer rows at once where they are long.
std::int64_t BatchRows(const parquet::FileMetaData& metadata, const std::vector<int>& leaves) {
  std::int64_t bytes = 0;
  for (int group = 0; group < metadata.num_row_groups(); ++group) {
    for (const int leaf : leaves) {
      bytes += metadata.RowGroup(group)->ColumnChunk(leaf)->total_uncompressed_size();
    }
  }
  const std::int64_t rows = std::max<std::int64_t>(metadata.num_rows(), 1);
  const std::int64_t row_bytes = std::max<std::int64_t>(bytes / rows, 1);
  return std::clamp<std::int64_t>(kBatchBytes / row_bytes, 1, kBatchRows);
}

void ReadParquet(const std::string& file, const std::vector<WantedColumn>& columns,
                 const std::function<void(const TextBatch&)>& consume) {
  const auto reader = OpenReader(file, {});
  std::vector<std::string> names;
  for (const auto& field : reader->manifest().schema_fields) names.push_back(field.field->name());
  const std::vector<std::size_t> places = FindColumns(columns, names, file, "");
  std::vector<int> leaves;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const auto& field = reader->manifest().schema_fields[places[i]];
    CheckType(*field.field->type(), {&file, 0, &columns[i].name, 0});
    // A column may be asked for twice.
    if (std::find(leaves.begin(), leaves.end(), field.column_index) == leaves.end()) {
      leaves.push_back(field.column_index);
    }
  }
  reader->set_batch_size(BatchRows(*reader->parquet_reader()->metadata(), leaves));
  std::vector<int> row_groups(static_cast<std::size_t>(reader->num_row_groups()));
  for (std::size_t i = 0; i < row_groups.size(); ++i) row_groups[i] = static_cast<int>(i);
  const auto batches =
      ReadOrRefuse(file, "", [&] { return reader->GetRecordBatchReader(row_groups, leaves); });
  TextBatch out;
  out.file = &file;
  for (;;) {
    const auto batch = ReadOrRefuse(file, "", [&] { return batches->Next(); });
    if (!batch) return;
    out.rows = batch->num_rows();
    out.columns.clear();
    KeptAlive alive;
    for (const WantedColumn& column : columns) {
      out.columns.push_back(ColumnOf(batch->GetColumnByName(column.name),
                                     {&file, 0, &column.name, out.first_row}, column.as_text,
                                     alive));
    }
    consume(out);
    out.first_row += out.rows;
  }
}

template <typename T>
T OrRefuse(arrow::Result<T> result, const std::string& file) {
  if (!result.ok()) {
    throw InputError("{}: cannot be read: {}. Is the file whole?", file, result.status().message());
  }
  return std::move(result).ValueUnsafe();
}

std::shared_ptr<arrow::io::InputStream> OpenText(const std::string& file) {
  auto stream = OrRefuse(arrow::io::ReadableFile::Open(file), file);
  if (!file.ends_with(".gz")) return stream;
  // Decompressors refer to their codec: it lives as long as the program.
  static const std::unique_ptr<arrow::util::Codec> codec =
      OrRefuse(arrow::util::Codec::Create(arrow::Compression::GZIP), file);
  return OrRefuse(arrow::io::CompressedInputStream::Make(codec.get(), stream), file);
}

void ReadCsv(const std::string& file, const std::vector<WantedColumn>& columns, char delimiter,
             const std::function<void(const TextBatch&)>& consume) {
  CsvTableReader table(file, columns, delimiter, consume);
  const auto stream = OpenText(file);
  std::string bytes(static_cast<std::size_t>(kReadBytes), '\0');
  for (;;) {
    const std::int64_t got = OrRefuse(stream->Read(kReadBytes, bytes.data()), file);
    table.Feed(std::string_view(bytes).substr(0, static_cast<std::size_t>(got)));
    if (got == 0) return;
  }
}

}  // namespace

void ReadTextTable(const fs::path& path, const std::vector<WantedColumn>& columns, char delimiter,
                   const std::function<void(const TextBatch&)>& consume) {
  const std::string file = path.string();
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) {
    throw InputError("{}: {}", file, error ? error.message() : "no such file");
  }
  if (!fs::is_regular_file(status)) throw InputError("{}: no regular file. Name a table.", file);
  if (file.ends_with(".parquet")) {
    ReadParquet(file, columns, consume);
  } else if (file.ends_with(".csv") || file.ends_with(".csv.gz")) {
    ReadCsv(file, columns, delimiter, consume);
  } else {
    throw InputError("{}: tables are files that end in .csv, .csv.gz or .parquet.", file);
  }
}

}  // namespace sequela
