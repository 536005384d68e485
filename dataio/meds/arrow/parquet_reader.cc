#include "dataio/meds/arrow/parquet_reader.h"

#include <arrow/io/file.h>

#include <filesystem>

#include "kernels/base/errors.h"

namespace sequela {
namespace {

constexpr std::int64_t kBatchRows = 64 * 1024;

}  // namespace

void RefuseDamaged(const std::string& file, const std::string& place, const std::string& reason) {
  throw InputError(
      "{}{}: cannot be read as Parquet: {}. The file is damaged, truncated, or something "
      "else; write or copy it again.",
      file, place, reason);
}

std::unique_ptr<parquet::arrow::FileReader> OpenReader(const std::string& file,
                                                       const std::vector<int>& dictionary_leaves) {
  if (!std::filesystem::exists(file)) throw InputError("{}: no such file", file);
  auto source = ReadOrRefuse(file, "", [&] { return arrow::io::ReadableFile::Open(file); });
  parquet::ReaderProperties parquet_properties(arrow::default_memory_pool());
  parquet_properties.set_page_checksum_verification(true);
  parquet_properties.enable_buffered_stream();
  parquet_properties.set_buffer_size(256 * 1024);
  parquet::ArrowReaderProperties arrow_properties(/*use_threads=*/false);
  arrow_properties.set_pre_buffer(false);
  arrow_properties.set_batch_size(kBatchRows);
  for (const int leaf : dictionary_leaves) arrow_properties.set_read_dictionary(leaf, true);
  return ReadOrRefuse(file, "",
                      [&]() -> arrow::Result<std::unique_ptr<parquet::arrow::FileReader>> {
                        parquet::arrow::FileReaderBuilder builder;
                        ARROW_RETURN_NOT_OK(builder.Open(source, parquet_properties));
                        return builder.memory_pool(arrow::default_memory_pool())
                            ->properties(arrow_properties)
                            ->Build();
                      });
}

}  // namespace sequela
