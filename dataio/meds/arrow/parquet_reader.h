// Opening Parquet files, with Arrow's and Parquet's errors as ours.
#pragma once

#include <arrow/result.h>
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

// Runs `open`, turning Arrow's and Parquet's errors into ours.
template <typename Function>
auto ReadOrRefuse(const std::string& file, const std::string& place, Function&& open) {
  try {
    auto result = open();
    if (!result.ok()) RefuseDamaged(file, place, result.status().message());
    return std::move(result).ValueUnsafe();
  } catch (const parquet::ParquetException& error) {
    RefuseDamaged(file, place, error.what());
  }
}

// One thread at a time; checks page checksums. Leaves named are read as dictionaries. Throws
// InputError.
std::unique_ptr<parquet::arrow::FileReader> OpenReader(const std::string& file,
                                                       const std::vector<int>& dictionary_leaves);

}  // namespace sequela
