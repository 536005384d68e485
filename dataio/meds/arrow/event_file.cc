#include "dataio/meds/event_file.h"

#include <arrow/compute/cast.h>
#include <arrow/memory_pool.h>
#include <arrow/record_batch.h>
#include <arrow/table.h>
#include <parquet/arrow/reader.h>
#include <parquet/arrow/schema.h>
#include <parquet/exception.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "dataio/base/missing_values.h"
#include "dataio/meds/arrow/column_chunks.h"
#include "dataio/meds/arrow/event_columns.h"
#include "dataio/meds/arrow/parquet_reader.h"
#include "dataio/meds/arrow/string_checks.h"
#include "kernels/base/errors.h"
#include "kernels/base/printable_text.h"

namespace sequela {
namespace {

namespace fs = std::filesystem;

std::string Quoted(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) {
    text += fmt::format("{}'{}'", text.empty() ? "" : ", ", Printable(name));
  }
  return text;
}

}  // namespace

struct EventFile::Impl {
  explicit Impl(const EventColumns& columns)
      : pool(arrow::default_memory_pool(), columns.memory_bytes),
        batch_bytes(columns.batch_bytes) {}

  arrow::CappedMemoryPool pool;  // outlives the readers
  std::int64_t batch_bytes;
  std::string file;
  std::unique_ptr<parquet::arrow::FileReader> reader;
  std::unique_ptr<parquet::arrow::FileReader> exact_times;  // in nanoseconds; of INT96 times only
  std::vector<std::string> names;                           // top-level columns
  std::vector<std::int64_t> first_rows;                     // [row groups + 1]

  // A column that is read: its leaf in the file and its place among the columns of a batch.
  struct Column {
    std::string name;
    int leaf = 0;
  };
  std::optional<Column> subject, time, code, value, text;
  std::vector<Column> modifiers;  // and code parts
  std::optional<Column> stay;
  struct EventColumn {
    Column column;
    std::size_t number = 0;  // in EventColumns::events
    bool is_number = false;
  };
  std::vector<EventColumn> events;
  mutable std::uint64_t serial = 0;

  std::optional<Column> Find(const std::string& name) const {
    const auto& fields = reader->manifest().schema_fields;
    std::optional<Column> found;
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (names[i] != name) continue;
      if (found) throw InputError("{}: two columns named '{}'. Remove one.", file, name);
      if (fields[i].column_index < 0) {
        throw InputError("{}, column '{}': a nested column where MEDS has a plain one.", file,
                         name);
      }
      found = Column{name, fields[i].column_index};
    }
    return found;
  }
  Column Require(const std::string& name) const {
    const auto found = Find(name);
    if (!found) {
      throw InputError(
          "{}: no column '{}'; the file has {}. MEDS needs subject_id, time, code; see "
          "`sequela ingest-csv` for tables with other names.",
          file, Printable(name), Quoted(names));
    }
    return *found;
  }
  const arrow::DataType& TypeOf(const Column& column) const {
    for (const auto& field : reader->manifest().schema_fields) {
      if (field.column_index == column.leaf) return *field.field->type();
    }
    throw InputError("{}: lost column '{}'", file, column.name);
  }
  ColumnPlace Place(const Column& column, int row_group, std::int64_t first_row) const {
    return {&file, row_group, &column.name, first_row};
  }

  // Rows are numbered in 32 bits, and what a footer announces may be anything.
  void FindRows() {
    const auto metadata = reader->parquet_reader()->metadata();
    first_rows.push_back(0);
    for (int i = 0; i < metadata->num_row_groups(); ++i) {
      const std::int64_t rows = metadata->RowGroup(i)->num_rows();
      if (!std::in_range<std::uint32_t>(rows) ||
          !std::in_range<std::uint32_t>(first_rows.back() + rows)) {
        throw InputError(
            "{}, row group {}: announces {} rows; at most 4 billion in one file are read. Write "
            "several files.",
            file, i, rows);
      }
      first_rows.push_back(first_rows.back() + rows);
    }
  }
  void FindColumns(const EventColumns& columns) {
    subject = Require(columns.subject);
    time = Require(columns.time);
    code = Require(columns.code);
    value = Find(columns.value);
    if (columns.read_text) text = Find(columns.text);
    for (const std::string& name : columns.modifiers) modifiers.push_back(Require(name));
    for (const std::string& name : columns.code_parts) {
      if (const auto found = Find(name)) modifiers.push_back(*found);
    }
    if (!columns.stay.empty()) stay = Find(columns.stay);
    for (std::size_t i = 0; i < columns.events.size(); ++i) {
      if (const auto found = Find(columns.events[i])) {
        events.push_back({*found, i, IsNumberType(TypeOf(*found))});
      }
    }
    CheckIntegerType(TypeOf(*subject), Place(*subject, 0, 0));
    for (auto* column : {&time, &value, &text}) {
      if (*column && IsAllNull(**column)) column->reset();
    }
    if (time) CheckTimeType(TypeOf(*time), Place(*time, 0, 0));
    CheckStringType(TypeOf(*code), Place(*code, 0, 0));
    if (value) CheckNumberType(TypeOf(*value), Place(*value, 0, 0));
    if (text) CheckStringType(TypeOf(*text), Place(*text, 0, 0));
  }
  const parquet::FileMetaData& footer() const { return *reader->parquet_reader()->metadata(); }
  // Writers that find no value in a column give it no type, or any (DuckDB: int32).
  bool IsAllNull(const Column& column) const {
    return TypeOf(column).id() == arrow::Type::NA || HasOnlyNulls(footer(), column.leaf);
  }
  // Columns of strings that Parquet can hand on as dictionaries: each distinct string is met once.
  std::vector<int> DictionaryLeaves() const {
    std::vector<int> leaves;
    const auto add = [&](const Column& column) {
      const auto id = TypeOf(column).id();
      const bool is_string = id == arrow::Type::STRING || id == arrow::Type::LARGE_STRING;
      if (is_string && CanBeDictionary(footer(), column.leaf, batch_bytes)) {
        leaves.push_back(column.leaf);
      }
    };
    add(*code);
    if (text) add(*text);
    for (const Column& column : modifiers) add(column);
    for (const EventColumn& event : events) add(event.column);
    return leaves;
  }
  std::vector<int> Leaves() const {
    std::vector<int> leaves = {subject->leaf, code->leaf};
    if (time) leaves.push_back(time->leaf);
    if (value) leaves.push_back(value->leaf);
    if (text) leaves.push_back(text->leaf);
    for (const Column& column : modifiers) leaves.push_back(column.leaf);
    for (const EventColumn& event : events) leaves.push_back(event.column.leaf);
    if (stay) leaves.push_back(stay->leaf);
    std::sort(leaves.begin(), leaves.end());
    leaves.erase(std::unique(leaves.begin(), leaves.end()), leaves.end());
    return leaves;
  }

  StringColumn ReadStrings(const arrow::RecordBatch& batch, const Column& column) const {
    std::shared_ptr<arrow::Array> array = batch.GetColumnByName(column.name);
    const auto id = array->type_id();
    if (id != arrow::Type::DICTIONARY && !arrow::is_base_binary_like(id) &&
        !arrow::is_binary_view_like(id) && id != arrow::Type::NA) {
      auto cast = arrow::compute::Cast(*array, arrow::utf8());
      if (!cast.ok()) {  // Arrow's reason may show a value
        throw InputError("{}, column '{}': values of type {} cannot be made text.", file,
                         Printable(column.name), Printable(array->type()->ToString()));
      }
      kept_alive.push_back(*cast);
      array = *cast;
    }
    return StringsOf(*array, ++serial);
  }
  mutable std::vector<std::shared_ptr<arrow::Array>> kept_alive;  // while a batch is being consumed

  EventBatch Convert(const arrow::RecordBatch& batch, int row_group, std::int64_t first_row,
                     EventReadCounts& counts) const {
    kept_alive.clear();
    EventBatch out;
    out.row_group = row_group;
    out.first_row = first_row;
    out.subject =
        SubjectsOf(*batch.GetColumnByName(subject->name), Place(*subject, row_group, first_row));
    if (time) {
      out.time_us = TimesOf(*batch.GetColumnByName(time->name), Place(*time, row_group, first_row));
    } else {
      out.time_us.assign(out.subject.size(), kStaticTime);
    }
    out.code = ReadStrings(batch, *code);
    RefuseBadCodes(out.code, Place(*code, row_group, first_row));
    const auto rows = static_cast<std::size_t>(batch.num_rows());
    if (value) {
      out.value = ValuesOf(*batch.GetColumnByName(value->name), Place(*value, row_group, first_row),
                           counts);
    } else {
      out.value.assign(rows, std::numeric_limits<float>::quiet_NaN());
    }
    if (text) {
      out.text = ReadStrings(batch, *text);
      CountInvalidTexts(out.text, counts);
    } else {
      out.text.index.assign(rows, StringColumn::kNull);
    }
    for (const Column& column : modifiers) {
      out.modifiers.push_back(ReadStrings(batch, column));
      RefuseInvalid(out.modifiers.back(), Place(column, row_group, first_row));
    }
    for (const EventColumn& event : events) {
      EventBatch::EventColumn& read = out.events.emplace_back();
      read.column = event.number;
      if (event.is_number) {
        read.value = ValuesOf(*batch.GetColumnByName(event.column.name),
                              Place(event.column, row_group, first_row), counts);
      } else {
        read.text = ReadStrings(batch, event.column);
        RefuseInvalid(read.text, Place(event.column, row_group, first_row));
      }
    }
    if (stay) {
      out.stay = StaysOf(*batch.GetColumnByName(stay->name), Place(*stay, row_group, first_row));
    }
    return out;
  }
  // Null at the end. Checks what Arrow does not.
  std::shared_ptr<arrow::RecordBatch> Next(arrow::RecordBatchReader& batches, int row_group) const {
    const auto place = [&] {
      return fmt::format(", row group {}{}", row_group, FailingColumn(row_group));
    };
    try {
      const auto batch = batches.Next();
      if (!batch.ok()) RefuseStatus(file, place(), batch.status());
      for (int i = 0; *batch != nullptr && i < (*batch)->num_columns(); ++i) {
        CheckIndices(*(*batch)->column(i), file,
                     fmt::format(", row group {}, column '{}'", row_group,
                                 Printable((*batch)->column_name(i))));
      }
      return *batch;
    } catch (const parquet::ParquetException& error) {
      RefuseException(file, place(), error);
    }
  }
  void CheckExactTimes(const arrow::RecordBatch& batch,
                       const std::shared_ptr<arrow::RecordBatch>& exact, int row_group,
                       std::int64_t row) const {
    if (exact == nullptr || exact->num_rows() != batch.num_rows()) {
      RefuseDamaged(file, fmt::format(", row group {}", row_group), "rows are missing");
    }
    RefuseNanoseconds(*batch.GetColumnByName(time->name), *exact->column(0),
                      Place(*time, row_group, row));
  }

  // After a failed read: which column fails alone, for the message.
  std::string FailingColumn(int row_group) const {
    std::vector<Column> columns = modifiers;
    for (const auto& column : {subject, time, code, value, text, stay}) {
      if (column) columns.push_back(*column);
    }
    for (const EventColumn& event : events) columns.push_back(event.column);
    for (const Column& column : columns) {
      if (!CanBeRead(row_group, column.leaf)) {
        return fmt::format(", column '{}'", Printable(column.name));
      }
    }
    return "";
  }
  bool CanBeRead(int row_group, int leaf) const {
    try {
      const auto batches = reader->GetRecordBatchReader({row_group}, {leaf});
      if (!batches.ok()) return false;
      for (;;) {
        const auto batch = (*batches)->Next();
        if (!batch.ok()) return false;
        if (*batch == nullptr) return true;
      }
    } catch (const parquet::ParquetException&) {
      return false;
    }
  }
};

EventFile::EventFile(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
EventFile::EventFile(EventFile&&) noexcept = default;
EventFile& EventFile::operator=(EventFile&&) noexcept = default;
EventFile::~EventFile() = default;

EventFile EventFile::Open(const fs::path& file, const EventColumns& columns) {
  auto impl = std::make_unique<Impl>(columns);
  impl->file = file.string();
  impl->reader = OpenReader(impl->file, {{}, &impl->pool});
  for (const auto& field : impl->reader->manifest().schema_fields) {
    impl->names.push_back(field.field->name());
  }
  impl->FindRows();
  if (impl->first_rows.back() == 0) return EventFile(std::move(impl));
  impl->FindColumns(columns);
  impl->reader = OpenReader(impl->file, {impl->DictionaryLeaves(), &impl->pool});
  const auto* schema = impl->reader->parquet_reader()->metadata()->schema();
  if (impl->time && schema->Column(impl->time->leaf)->physical_type() == parquet::Type::INT96) {
    impl->exact_times = OpenReader(impl->file, {{}, &impl->pool, arrow::TimeUnit::NANO});
  }
  return EventFile(std::move(impl));
}

int EventFile::num_row_groups() const { return static_cast<int>(impl_->first_rows.size()) - 1; }
std::int64_t EventFile::num_rows() const { return impl_->first_rows.back(); }
std::int64_t EventFile::num_rows(int row_group) const {
  return first_row(row_group + 1) - first_row(row_group);
}
std::int64_t EventFile::first_row(int row_group) const {
  return impl_->first_rows[static_cast<std::size_t>(row_group)];
}
const std::vector<std::string>& EventFile::column_names() const { return impl_->names; }

void EventFile::ReadRowGroup(int row_group, const std::function<void(const EventBatch&)>& consume,
                             EventReadCounts& counts) const {
  if (num_rows(row_group) == 0) return;
  const auto open = [&](parquet::arrow::FileReader& reader, const std::vector<int>& leaves) {
    reader.set_batch_size(
        BatchRows(impl_->footer(), row_group, impl_->Leaves(), impl_->batch_bytes));
    return ReadOrRefuse(impl_->file, fmt::format(", row group {}", row_group),
                        [&] { return reader.GetRecordBatchReader({row_group}, leaves); });
  };
  const auto batches = open(*impl_->reader, impl_->Leaves());
  const auto exact_times =
      impl_->exact_times ? open(*impl_->exact_times, {impl_->time->leaf}) : nullptr;
  std::int64_t row = first_row(row_group);
  while (const auto batch = impl_->Next(*batches, row_group)) {
    if (batch->num_rows() == 0) continue;
    if (exact_times) {
      impl_->CheckExactTimes(*batch, impl_->Next(*exact_times, row_group), row_group, row);
    }
    consume(impl_->Convert(*batch, row_group, row, counts));
    row += batch->num_rows();
  }
  if (row != first_row(row_group + 1)) {
    RefuseDamaged(impl_->file, fmt::format(", row group {}", row_group), "rows are missing");
  }
}

void ReleaseArrowMemory() { arrow::default_memory_pool()->ReleaseUnused(); }

}  // namespace sequela
