#include "dataio/meds/arrow/parquet_reader.h"

#include <arrow/array/array_dict.h>
#include <arrow/array/array_nested.h>
#include <arrow/io/file.h>

#include <algorithm>
#include <filesystem>

#include "kernels/base/errors.h"
#include "kernels/base/printable_text.h"

namespace sequela {
namespace {

constexpr std::int64_t kBatchRows = 64 * 1024;

bool IsOutside(const arrow::DictionaryArray& array) {
  const std::int64_t size = array.dictionary()->length();
  if (array.indices()->type_id() == arrow::Type::INT32) {
    const auto* raw = static_cast<const arrow::Int32Array&>(*array.indices()).raw_values();
    std::uint32_t most = 0;
    for (std::int64_t i = 0; i < array.length(); ++i) {
      most = std::max(most, static_cast<std::uint32_t>(raw[i]));
    }
    if (most < size) return false;
  }
  for (std::int64_t i = 0; i < array.length(); ++i) {
    if (array.IsNull(i)) continue;  // its index says nothing
    const std::int64_t index = array.GetValueIndex(i);
    if (index < 0 || index >= size) return true;
  }
  return false;
}

}  // namespace

void RefuseDamaged(const std::string& file, const std::string& place, const std::string& reason) {
  throw InputError(
      "{}{}: cannot be read as Parquet: {}. The file is damaged, truncated, or something "
      "else; write or copy it again.",
      file, place, Printable(reason));
}

void RefuseStatus(const std::string& file, const std::string& place, const arrow::Status& status) {
  if (!status.IsOutOfMemory()) RefuseDamaged(file, place, status.message());
  // Arrow has no other sign of a pool's own limit.
  if (status.message().find("cap exceeded") == std::string::npos) {
    throw MachineError("{}{}: out of memory: {}", file, place, status.message());
  }
  throw InputError(
      "{}{}: reading it takes more memory than is allowed at a time. Write it with smaller pages "
      "and "
      "dictionaries, allow more (--memory), or it is damaged.",
      file, place);
}

void RefuseException(const std::string& file, const std::string& place,
                     const parquet::ParquetException& error) {
  const auto* with_status = dynamic_cast<const parquet::ParquetStatusException*>(&error);
  if (with_status != nullptr) RefuseStatus(file, place, with_status->status());
  RefuseDamaged(file, place, error.what());
}

void CheckIndices(const arrow::Array& array, const std::string& file, const std::string& place) {
  if (array.type_id() == arrow::Type::LIST) {
    return CheckIndices(*static_cast<const arrow::ListArray&>(array).values(), file, place);
  }
  if (array.type_id() != arrow::Type::DICTIONARY) return;
  const auto& coded = static_cast<const arrow::DictionaryArray&>(array);
  if (IsOutside(coded)) RefuseDamaged(file, place, "a value is not in its dictionary");
}

std::unique_ptr<parquet::arrow::FileReader> OpenReader(const std::string& file,
                                                       const ReaderOptions& options) {
  std::error_code error;
  const auto type = std::filesystem::status(file, error).type();
  if (type == std::filesystem::file_type::not_found) throw InputError("{}: no such file", file);
  if (type != std::filesystem::file_type::regular) {
    throw InputError("{}: no regular file{}", file, error ? ": " + error.message() : "");
  }
  auto source = ReadOrRefuse(file, "", [&] { return arrow::io::ReadableFile::Open(file); });
  parquet::ReaderProperties parquet_properties(options.pool);
  parquet_properties.set_page_checksum_verification(true);
  parquet_properties.enable_buffered_stream();
  parquet_properties.set_buffer_size(256 * 1024);
  parquet::ArrowReaderProperties arrow_properties(/*use_threads=*/false);
  arrow_properties.set_pre_buffer(false);
  arrow_properties.set_batch_size(kBatchRows);
  arrow_properties.set_coerce_int96_timestamp_unit(options.int96_unit);
  for (const int leaf : options.dictionary_leaves) arrow_properties.set_read_dictionary(leaf, true);
  return ReadOrRefuse(
      file, "", [&]() -> arrow::Result<std::unique_ptr<parquet::arrow::FileReader>> {
        parquet::arrow::FileReaderBuilder builder;
        ARROW_RETURN_NOT_OK(builder.Open(source, parquet_properties));
        return builder.memory_pool(options.pool)->properties(arrow_properties)->Build();
      });
}

}  // namespace sequela
