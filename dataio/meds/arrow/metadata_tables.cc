// The small tables of metadata/, read whole.
#include <arrow/array.h>
#include <arrow/array/concatenate.h>
#include <arrow/array/util.h>
#include <arrow/compute/cast.h>
#include <arrow/table.h>

#include "dataio/meds/arrow/parquet_reader.h"
#include "dataio/meds/event_file.h"
#include "kernels/base/errors.h"

namespace sequela {

namespace {

// A whole small table, its wanted columns cast to one type each.
std::shared_ptr<arrow::Array> ReadColumn(const arrow::Table& table, const std::string& file,
                                         const std::string& name,
                                         const std::shared_ptr<arrow::DataType>& type) {
  const auto column = table.GetColumnByName(name);
  if (!column) return nullptr;
  const auto cast = arrow::compute::Cast(arrow::Datum(column), type);
  if (!cast.ok()) {
    throw InputError("{}, column '{}': type {} where {} is expected: {}", file, name,
                     column->type()->ToString(), type->ToString(), cast.status().message());
  }
  const auto whole = arrow::Concatenate(cast->chunked_array()->chunks());
  if (column->length() == 0) return *arrow::MakeEmptyArray(type);
  return *whole;
}

std::shared_ptr<arrow::Table> ReadTable(const std::string& file) {
  const auto reader = OpenReader(file, {});
  return ReadOrRefuse(file, "", [&] { return reader->ReadTable(); });
}

std::shared_ptr<arrow::Array> RequireColumn(const arrow::Table& table, const std::string& file,
                                            const std::string& name,
                                            const std::shared_ptr<arrow::DataType>& type) {
  auto column = ReadColumn(table, file, name, type);
  if (!column) throw InputError("{}: no column '{}'.", file, name);
  if (column->null_count() > 0) {
    throw InputError("{}, column '{}': {} null rows where none are allowed.", file, name,
                     column->null_count());
  }
  return column;
}

}  // namespace

std::vector<CodeMetadata> ReadCodeMetadata(const std::filesystem::path& path) {
  const std::string file = path.string();
  const auto table = ReadTable(file);
  const auto codes = RequireColumn(*table, file, "code", arrow::utf8());
  const auto descriptions = ReadColumn(*table, file, "description", arrow::utf8());
  const auto parents = ReadColumn(*table, file, "parent_codes", arrow::list(arrow::utf8()));
  std::vector<CodeMetadata> entries(static_cast<std::size_t>(codes->length()));
  for (std::int64_t i = 0; i < codes->length(); ++i) {
    CodeMetadata& entry = entries[static_cast<std::size_t>(i)];
    entry.code = static_cast<const arrow::StringArray&>(*codes).GetString(i);
    if (descriptions && !descriptions->IsNull(i)) {
      entry.description = static_cast<const arrow::StringArray&>(*descriptions).GetString(i);
    }
    if (!parents || parents->IsNull(i)) continue;
    const auto& lists = static_cast<const arrow::ListArray&>(*parents);
    const auto& values = static_cast<const arrow::StringArray&>(*lists.values());
    for (std::int64_t j = lists.value_offset(i); j < lists.value_offset(i + 1); ++j) {
      if (!values.IsNull(j)) entry.parent_codes.push_back(values.GetString(j));
    }
  }
  return entries;
}

std::vector<SubjectSplitRow> ReadSubjectSplits(const std::filesystem::path& path) {
  const std::string file = path.string();
  const auto table = ReadTable(file);
  const auto subjects = RequireColumn(*table, file, "subject_id", arrow::int64());
  const auto splits = RequireColumn(*table, file, "split", arrow::utf8());
  std::vector<SubjectSplitRow> rows(static_cast<std::size_t>(subjects->length()));
  for (std::int64_t i = 0; i < subjects->length(); ++i) {
    rows[static_cast<std::size_t>(i)] = {
        static_cast<const arrow::Int64Array&>(*subjects).Value(i),
        static_cast<const arrow::StringArray&>(*splits).GetString(i)};
  }
  return rows;
}

}  // namespace sequela
