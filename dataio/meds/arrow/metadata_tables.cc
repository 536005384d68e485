// The small tables of metadata/, read whole.
#include <arrow/array.h>
#include <arrow/array/concatenate.h>
#include <arrow/array/util.h>
#include <arrow/compute/cast.h>
#include <arrow/table.h>

#include "dataio/base/utf8.h"
#include "dataio/meds/arrow/parquet_reader.h"
#include "dataio/meds/event_file.h"
#include "kernels/base/errors.h"
#include "kernels/base/printable_text.h"

namespace sequela {
namespace {

constexpr std::int64_t kMostBytes = 4LL << 30;  // in this process, while a table is read

class MetadataTable {
 public:
  explicit MetadataTable(std::string file)
      : pool_(arrow::default_memory_pool(), kMostBytes), file_(std::move(file)) {
    const auto reader = OpenReader(file_, {{}, &pool_});
    table_ = ReadOrRefuse(file_, "", [&] { return reader->ReadTable(); });
  }

  std::int64_t rows() const { return table_->num_rows(); }

  // The column cast to `type`; null where the file has none.
  std::shared_ptr<arrow::Array> Find(const std::string& name,
                                     const std::shared_ptr<arrow::DataType>& type) const {
    if (table_->schema()->GetAllFieldIndices(name).size() > 1) {
      throw InputError("{}: two columns named '{}'. Remove one.", file_, Printable(name));
    }
    const auto column = table_->GetColumnByName(name);
    if (!column) return nullptr;
    if (rows() == 0) return *arrow::MakeEmptyArray(type);
    const std::string place = fmt::format(", column '{}'", Printable(name));
    for (const auto& chunk : column->chunks()) CheckIndices(*chunk, file_, place);
    const auto cast = arrow::compute::Cast(arrow::Datum(column), type);
    if (!cast.ok()) {  // Arrow's reason may show a value
      throw InputError("{}{}: values of type {} where {} is expected. Cast the column.", file_,
                       place, Printable(column->type()->ToString()), type->ToString());
    }
    return ReadOrRefuse(file_, place,
                        [&] { return arrow::Concatenate(cast->chunked_array()->chunks()); });
  }

  std::shared_ptr<arrow::Array> Require(const std::string& name,
                                        const std::shared_ptr<arrow::DataType>& type) const {
    auto column = Find(name, type);
    if (!column) throw InputError("{}: no column '{}'.", file_, name);
    return column;
  }
  void RefuseNulls(const arrow::Array& column, const std::string& name) const {
    if (column.null_count() == 0) return;
    throw InputError("{}, column '{}': {} null rows where none are allowed.", file_, name,
                     column.null_count());
  }

  std::string TextAt(const arrow::Array& strings, std::int64_t row, const std::string& name) const {
    std::string text = static_cast<const arrow::StringArray&>(strings).GetString(row);
    if (!IsUtf8(text)) {
      throw InputError("{}, column '{}': holds text that is not UTF-8.", file_, Printable(name));
    }
    return text;
  }

 private:
  arrow::CappedMemoryPool pool_;  // outlives the table
  std::string file_;
  std::shared_ptr<arrow::Table> table_;
};

using JoinedColumns = std::vector<std::pair<std::string, std::shared_ptr<arrow::Array>>>;

// As events' codes are made (row_reader.h): "code//part//...", absent parts left out.
std::string JoinedCode(const MetadataTable& table, const arrow::Array& codes,
                       const JoinedColumns& parts, std::int64_t row) {
  std::string code = table.TextAt(codes, row, "code");
  for (const auto& [name, part] : parts) {
    if (part->IsNull(row)) continue;
    const std::string text = table.TextAt(*part, row, name);
    if (!text.empty()) code += "//" + text;
  }
  return code;
}

}  // namespace

std::vector<CodeMetadata> ReadCodeMetadata(const std::filesystem::path& path,
                                           const std::vector<std::string>& joined,
                                           std::int64_t* without_code) {
  const MetadataTable table(path.string());
  const auto codes = table.Require("code", arrow::utf8());
  const auto descriptions = table.Find("description", arrow::utf8());
  const auto parents = table.Find("parent_codes", arrow::list(arrow::utf8()));
  JoinedColumns parts;
  for (const std::string& name : joined) {
    if (auto column = table.Find(name, arrow::utf8())) parts.emplace_back(name, std::move(column));
  }
  if (without_code == nullptr) table.RefuseNulls(*codes, "code");
  if (without_code != nullptr) *without_code = codes->null_count();
  std::vector<CodeMetadata> entries;
  for (std::int64_t i = 0; i < codes->length(); ++i) {
    if (codes->IsNull(i)) continue;
    CodeMetadata& entry = entries.emplace_back();
    entry.code = JoinedCode(table, *codes, parts, i);
    if (descriptions && !descriptions->IsNull(i)) {
      entry.description = table.TextAt(*descriptions, i, "description");
    }
    if (!parents || parents->IsNull(i)) continue;
    const auto& lists = static_cast<const arrow::ListArray&>(*parents);
    for (std::int64_t j = lists.value_offset(i); j < lists.value_offset(i + 1); ++j) {
      if (lists.values()->IsNull(j)) continue;
      entry.parent_codes.push_back(table.TextAt(*lists.values(), j, "parent_codes"));
    }
  }
  return entries;
}

std::vector<SubjectSplitRow> ReadSubjectSplits(const std::filesystem::path& path) {
  const MetadataTable table(path.string());
  const auto subjects = table.Require("subject_id", arrow::int64());
  const auto splits = table.Require("split", arrow::utf8());
  table.RefuseNulls(*subjects, "subject_id");
  table.RefuseNulls(*splits, "split");
  std::vector<SubjectSplitRow> rows(static_cast<std::size_t>(subjects->length()));
  for (std::int64_t i = 0; i < subjects->length(); ++i) {
    rows[static_cast<std::size_t>(i)] = {
        static_cast<const arrow::Int64Array&>(*subjects).Value(i),
        static_cast<const arrow::StringArray&>(*splits).GetString(i)};
  }
  return rows;
}

}  // namespace sequela
