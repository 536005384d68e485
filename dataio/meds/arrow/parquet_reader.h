// Opening Parquet files, with Arrow's and Parquet's errors as ours.
#pragma once

#include <arrow/array.h>
#include <arrow/memory_pool.h>
#include <arrow/result.h>
#include <arrow/type_fwd.h>
#include <parquet/arrow/reader.h>
#include <parquet/exception.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace sequela {

// Throws the InputError of a file that cannot be read. `place`: ", row group 3", or empty.
[[noreturn]] void RefuseDamaged(const std::string& file, const std::string& place,
                                const std::string& reason);

// The same for what Arrow and Parquet report. More memory than the reader's pool may give is an
// InputError too; memory that the machine does not have is a MachineError.
[[noreturn]] void RefuseStatus(const std::string& file, const std::string& place,
                               const arrow::Status& status);
[[noreturn]] void RefuseException(const std::string& file, const std::string& place,
                                  const parquet::ParquetException& error);

// Runs `open`, turning Arrow's and Parquet's errors into ours.
template <typename Function>
auto ReadOrRefuse(const std::string& file, const std::string& place, Function&& open) {
  try {
    auto result = open();
    if (!result.ok()) RefuseStatus(file, place, result.status());
    return std::move(result).ValueUnsafe();
  } catch (const parquet::ParquetException& error) {
    RefuseException(file, place, error);
  }
}

// Arrow hands the dictionary indices of a file on as they are. Throws InputError where one lies
// outside of its dictionary; lists are looked into.
void CheckIndices(const arrow::Array& array, const std::string& file, const std::string& place);

struct ReaderOptions {
  std::vector<int> dictionary_leaves;                      // leaves that are read as dictionaries
  arrow::MemoryPool* pool = arrow::default_memory_pool();  // outlives the reader and what it gave
  // Of INT96 times. Nanoseconds reach from 1677 to 2262 only, and wrap around outside.
  arrow::TimeUnit::type int96_unit = arrow::TimeUnit::MICRO;
};

// One thread at a time; checks page checksums. Throws InputError where the file is no regular file,
// cannot be opened or is no Parquet.
std::unique_ptr<parquet::arrow::FileReader> OpenReader(const std::string& file,
                                                       const ReaderOptions& options);

}  // namespace sequela
