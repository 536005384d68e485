#include "dataio/meds/text_table.h"

#include <arrow/compute/cast.h>
#include <arrow/csv/api.h>
#include <arrow/io/compressed.h>
#include <arrow/io/file.h>
#include <arrow/record_batch.h>
#include <arrow/util/compression.h>
#include <parquet/arrow/reader.h>
#include <parquet/arrow/schema.h>
#include <parquet/exception.h>

#include "dataio/base/missing_values.h"
#include "dataio/base/settings_reader.h"
#include "dataio/meds/arrow/event_columns.h"
#include "kernels/base/errors.h"

namespace sequela {
namespace {

namespace fs = std::filesystem;

template <typename T>
T OrRefuse(arrow::Result<T> result, const std::string& file) {
  if (!result.ok()) throw InputError("{}: cannot be read: {}", file, result.status().message());
  return std::move(result).ValueUnsafe();
}

void RequireColumns(const std::vector<std::string>& wanted, const std::vector<std::string>& present,
                    const std::string& file) {
  for (const std::string& name : wanted) {
    if (std::find(present.begin(), present.end(), name) != present.end()) continue;
    const std::string nearest = NearestOf(name, present);
    throw InputError("{}: no column '{}'{}", file, name,
                     nearest.empty() ? "." : fmt::format("; did you mean '{}'?", nearest));
  }
}

TextColumn ColumnOf(const std::shared_ptr<arrow::Array>& array, const std::string& file,
                    const std::string& name, std::int64_t first_row,
                    std::vector<std::shared_ptr<arrow::Array>>& kept_alive) {
  TextColumn column;
  const auto id = array->type_id();
  if (id == arrow::Type::TIMESTAMP || id == arrow::Type::DATE32 || id == arrow::Type::DATE64) {
    column.time_us = TimesOf(*array, {&file, 0, &name, first_row});
    column.text.resize(column.time_us.size());
    return column;
  }
  std::shared_ptr<arrow::Array> text = array;
  if (id != arrow::Type::STRING) {
    text = OrRefuse(arrow::compute::Cast(*array, arrow::utf8()), file);
    kept_alive.push_back(text);
  }
  const auto& strings = static_cast<const arrow::StringArray&>(*text);
  column.text.reserve(static_cast<std::size_t>(strings.length()));
  for (std::int64_t i = 0; i < strings.length(); ++i) {
    column.text.push_back(strings.IsNull(i) ? std::string_view() : strings.GetView(i));
  }
  return column;
}

void Consume(arrow::RecordBatchReader& reader, const std::vector<std::string>& columns,
             const std::string& file, const std::function<void(const TextBatch&)>& consume) {
  std::int64_t row = 0;
  for (;;) {
    const auto batch = OrRefuse(reader.Next(), file);
    if (!batch) return;
    TextBatch out;
    out.first_row = row;
    out.rows = batch->num_rows();
    std::vector<std::shared_ptr<arrow::Array>> kept_alive;
    for (const std::string& name : columns) {
      out.columns.push_back(ColumnOf(batch->GetColumnByName(name), file, name, row, kept_alive));
    }
    consume(out);
    row += batch->num_rows();
  }
}

std::shared_ptr<arrow::io::InputStream> OpenText(const std::string& file) {
  auto stream = OrRefuse(arrow::io::ReadableFile::Open(file), file);
  if (!file.ends_with(".gz")) return stream;
  // Decompressors refer to their codec: it lives as long as the program.
  static const std::unique_ptr<arrow::util::Codec> codec =
      OrRefuse(arrow::util::Codec::Create(arrow::Compression::GZIP), file);
  return OrRefuse(arrow::io::CompressedInputStream::Make(codec.get(), stream), file);
}

std::vector<std::string> HeadingOf(const std::string& file) {
  auto read = arrow::csv::ReadOptions::Defaults();
  read.use_threads = false;
  const auto reader =
      OrRefuse(arrow::csv::StreamingReader::Make(arrow::io::default_io_context(), OpenText(file),
                                                 read, arrow::csv::ParseOptions::Defaults(),
                                                 arrow::csv::ConvertOptions::Defaults()),
               file);
  return reader->schema()->field_names();
}

void ReadCsv(const std::string& file, const std::vector<std::string>& columns,
             const std::function<void(const TextBatch&)>& consume) {
  RequireColumns(columns, HeadingOf(file), file);
  auto read = arrow::csv::ReadOptions::Defaults();
  read.use_threads = false;
  read.block_size = 4 << 20;
  auto parse = arrow::csv::ParseOptions::Defaults();
  parse.newlines_in_values = true;
  auto convert = arrow::csv::ConvertOptions::Defaults();
  for (const std::string& name : columns) {
    // A column may be asked for twice.
    if (convert.column_types.emplace(name, arrow::utf8()).second) {
      convert.include_columns.push_back(name);
    }
  }
  convert.strings_can_be_null = false;
  const auto reader =
      OrRefuse(arrow::csv::StreamingReader::Make(arrow::io::default_io_context(), OpenText(file),
                                                 read, parse, convert),
               file);
  Consume(*reader, columns, file, consume);
}

void ReadParquet(const std::string& file, const std::vector<std::string>& columns,
                 const std::function<void(const TextBatch&)>& consume) {
  try {
    auto source = OrRefuse(arrow::io::ReadableFile::Open(file), file);
    const auto reader =
        OrRefuse(parquet::arrow::OpenFile(source, arrow::default_memory_pool()), file);
    std::vector<std::string> names;
    std::vector<int> leaves;
    for (const auto& field : reader->manifest().schema_fields) {
      names.push_back(field.field->name());
      if (field.column_index >= 0 &&
          std::find(columns.begin(), columns.end(), names.back()) != columns.end()) {
        leaves.push_back(field.column_index);
      }
    }
    RequireColumns(columns, names, file);
    std::vector<int> row_groups(static_cast<std::size_t>(reader->num_row_groups()));
    for (std::size_t i = 0; i < row_groups.size(); ++i) row_groups[i] = static_cast<int>(i);
    const auto batches = OrRefuse(reader->GetRecordBatchReader(row_groups, leaves), file);
    Consume(*batches, columns, file, consume);
  } catch (const parquet::ParquetException& error) {
    throw InputError("{}: cannot be read as Parquet: {}", file, error.what());
  }
}

}  // namespace

void ReadTextTable(const fs::path& path, const std::vector<std::string>& columns,
                   const std::function<void(const TextBatch&)>& consume) {
  const std::string file = path.string();
  if (!fs::exists(path)) throw InputError("{}: no such file", file);
  if (file.ends_with(".parquet")) {
    ReadParquet(file, columns, consume);
  } else if (file.ends_with(".csv") || file.ends_with(".csv.gz")) {
    ReadCsv(file, columns, consume);
  } else {
    throw InputError("{}: neither .csv, .csv.gz nor .parquet.", file);
  }
}

}  // namespace sequela
