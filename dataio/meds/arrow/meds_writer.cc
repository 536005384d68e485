#include "dataio/meds/meds_writer.h"

#include <arrow/builder.h>
#include <arrow/io/file.h>
#include <arrow/table.h>
#include <parquet/arrow/writer.h>

#include <nlohmann/json.hpp>
#include <system_error>

#include "dataio/meds/arrow/status.h"
#include "kernels/base/atomic_file.h"
#include "kernels/base/check.h"
#include "kernels/base/json_text.h"

namespace sequela {
namespace {

namespace fs = std::filesystem;

std::shared_ptr<parquet::WriterProperties> ParquetProperties() {
  return parquet::WriterProperties::Builder()
      .compression(parquet::Compression::SNAPPY)
      ->enable_page_checksum()
      ->build();
}

void CreateFoldersAbove(const fs::path& file) {
  std::error_code error;
  fs::create_directories(file.parent_path(), error);
  if (error) {
    throw MachineError("{}: cannot create this folder: {}", file.parent_path().string(),
                       error.message());
  }
}

std::shared_ptr<arrow::io::FileOutputStream> OpenForWriting(const fs::path& file) {
  CreateFoldersAbove(file);
  return CheckWrite(arrow::io::FileOutputStream::Open(file.string()), file);
}

void WriteTable(const fs::path& file, const std::shared_ptr<arrow::Table>& table) {
  auto stream = OpenForWriting(file);
  CheckWrite(
      parquet::arrow::WriteTable(*table, arrow::default_memory_pool(), stream,
                                 std::max<std::int64_t>(table->num_rows(), 1), ParquetProperties()),
      file);
  CheckWrite(stream->Close(), file);
}

std::shared_ptr<arrow::Array> FinishArray(arrow::ArrayBuilder& builder, const fs::path& file) {
  std::shared_ptr<arrow::Array> array;
  CheckWrite(builder.Finish(&array), file);
  return array;
}

void WriteCodes(const fs::path& file, const std::vector<MedsCode>& codes) {
  arrow::StringBuilder code;
  arrow::StringBuilder description;
  auto parent_values = std::make_shared<arrow::StringBuilder>();
  arrow::ListBuilder parents(arrow::default_memory_pool(), parent_values);
  for (const MedsCode& entry : codes) {
    CheckWrite(code.Append(entry.code), file);
    CheckWrite(entry.description.empty() ? description.AppendNull()
                                         : description.Append(entry.description),
               file);
    if (entry.parent_codes.empty()) {
      CheckWrite(parents.AppendNull(), file);
      continue;
    }
    CheckWrite(parents.Append(), file);
    for (const std::string& parent : entry.parent_codes) {
      CheckWrite(parent_values->Append(parent), file);
    }
  }
  const auto schema = arrow::schema({arrow::field("code", arrow::utf8()),
                                     arrow::field("description", arrow::utf8()),
                                     arrow::field("parent_codes", arrow::list(arrow::utf8()))});
  WriteTable(file,
             arrow::Table::Make(schema, {FinishArray(code, file), FinishArray(description, file),
                                         FinishArray(parents, file)}));
}

void WriteSplits(const fs::path& file, const std::vector<MedsSubjectSplit>& splits) {
  arrow::Int64Builder subject;
  arrow::StringBuilder split;
  for (const MedsSubjectSplit& entry : splits) {
    CheckWrite(subject.Append(entry.subject_id), file);
    CheckWrite(split.Append(std::string(NameOf(entry.split))), file);
  }
  const auto schema = arrow::schema(
      {arrow::field("subject_id", arrow::int64()), arrow::field("split", arrow::utf8())});
  WriteTable(file,
             arrow::Table::Make(schema, {FinishArray(subject, file), FinishArray(split, file)}));
}

}  // namespace

struct MedsFileWriter::Impl {
  fs::path file;
  Options options;
  std::shared_ptr<arrow::Schema> schema;
  std::shared_ptr<arrow::io::FileOutputStream> stream;
  std::unique_ptr<parquet::arrow::FileWriter> writer;
  arrow::Int64Builder subject;
  arrow::TimestampBuilder time{arrow::timestamp(arrow::TimeUnit::MICRO),
                               arrow::default_memory_pool()};
  arrow::StringBuilder code;
  arrow::FloatBuilder value;
  arrow::LargeStringBuilder text;
  std::int64_t rows = 0;
  std::int64_t buffered_bytes = 0;
  bool finished = false;

  void Flush() {
    const std::int64_t count = subject.length();
    buffered_bytes = 0;
    std::vector<std::shared_ptr<arrow::Array>> columns = {
        FinishArray(subject, file), FinishArray(time, file), FinishArray(code, file),
        FinishArray(value, file)};
    if (options.text_column) columns.push_back(FinishArray(text, file));
    if (count == 0) return;
    CheckWrite(writer->WriteTable(*arrow::Table::Make(schema, columns), count), file);
  }
};

MedsFileWriter::MedsFileWriter(fs::path file, Options options) : impl_(std::make_unique<Impl>()) {
  impl_->file = std::move(file);
  impl_->options = options;
  arrow::FieldVector fields = {arrow::field("subject_id", arrow::int64()),
                               arrow::field("time", arrow::timestamp(arrow::TimeUnit::MICRO)),
                               arrow::field("code", arrow::utf8()),
                               arrow::field("numeric_value", arrow::float32())};
  if (options.text_column) fields.push_back(arrow::field("text_value", arrow::large_utf8()));
  impl_->schema = arrow::schema(std::move(fields));
  impl_->stream = OpenForWriting(impl_->file);
  // The official schema wants text_value as large_string, which only the ARROW:schema key can say.
  parquet::ArrowWriterProperties::Builder arrow_properties;
  if (options.text_column) arrow_properties.store_schema();
  impl_->writer = CheckWrite(
      parquet::arrow::FileWriter::Open(*impl_->schema, arrow::default_memory_pool(), impl_->stream,
                                       ParquetProperties(), arrow_properties.build()),
      impl_->file);
}

MedsFileWriter::~MedsFileWriter() = default;

void MedsFileWriter::Append(std::int64_t subject_id, std::int64_t time_us, std::string_view code,
                            float value, std::string_view text) {
  Impl& to = *impl_;
  SEQUELA_CHECK(!to.finished);
  CheckWrite(to.subject.Append(subject_id), to.file);
  CheckWrite(time_us == kStaticTime ? to.time.AppendNull() : to.time.Append(time_us), to.file);
  CheckWrite(to.code.Append(code), to.file);
  CheckWrite(value != value ? to.value.AppendNull() : to.value.Append(value), to.file);
  if (to.options.text_column) {
    CheckWrite(text.data() == nullptr ? to.text.AppendNull() : to.text.Append(text), to.file);
  }
  ++to.rows;
  // Subject, time, value and the texts' offsets take 32 bytes.
  to.buffered_bytes += 32 + static_cast<std::int64_t>(code.size() + text.size());
  if (to.subject.length() >= to.options.row_group_rows ||
      to.buffered_bytes >= to.options.row_group_bytes) {
    to.Flush();
  }
}

std::int64_t MedsFileWriter::rows() const { return impl_->rows; }

void MedsFileWriter::Finish() {
  SEQUELA_CHECK(!impl_->finished);
  impl_->Flush();
  CheckWrite(impl_->writer->Close(), impl_->file);
  CheckWrite(impl_->stream->Close(), impl_->file);
  impl_->finished = true;
}

void WriteMedsMetadata(const fs::path& folder, const MedsDatasetInfo& info,
                       const std::vector<MedsCode>& codes,
                       const std::vector<MedsSubjectSplit>& splits) {
  const fs::path metadata = folder / "metadata";
  WriteCodes(metadata / "codes.parquet", codes);
  if (!splits.empty()) WriteSplits(metadata / "subject_splits.parquet", splits);
  nlohmann::ordered_json json = {{"dataset_name", info.dataset_name},
                                 {"dataset_version", info.dataset_version},
                                 {"etl_name", info.etl_name},
                                 {"etl_version", info.etl_version},
                                 {"meds_version", "0.4.1"}};
  if (!info.license.empty()) json["license"] = info.license;
  WriteFileAtomically(metadata / "dataset.json", JsonToText(json, 1) + "\n");
}

}  // namespace sequela
