// Arrow arrays of any accepted type as the plain columns of event_file.h.
#pragma once

#include <arrow/array.h>

#include <cstdint>
#include <string>
#include <vector>

#include "dataio/meds/event_file.h"

namespace sequela {

// For messages: "data/0.parquet, row group 3, column 'time'".
struct ColumnPlace {
  const std::string* file = nullptr;
  int row_group = 0;
  const std::string* column = nullptr;
  std::int64_t first_row = 0;  // of the array, within the file
};

void CheckIntegerType(const arrow::DataType& type, const ColumnPlace& place);
void CheckTimeType(const arrow::DataType& type, const ColumnPlace& place);
void CheckNumberType(const arrow::DataType& type, const ColumnPlace& place);
void CheckStringType(const arrow::DataType& type, const ColumnPlace& place);

bool IsNumberType(const arrow::DataType& type);

// Each throws InputError for nulls or values that do not fit, naming place and row.
std::vector<std::int64_t> SubjectsOf(const arrow::Array& array, const ColumnPlace& place);
std::vector<std::int64_t> TimesOf(const arrow::Array& array, const ColumnPlace& place);
// Throws InputError where a time in nanoseconds is not the same time in microseconds: both of one
// column, the nanoseconds wrapped around where they do not fit.
void RefuseNanoseconds(const arrow::Array& micro, const arrow::Array& nano,
                       const ColumnPlace& place);
std::vector<float> ValuesOf(const arrow::Array& array, const ColumnPlace& place,
                            EventReadCounts& counts);
// Integers, also as text or as whole floating-point numbers; kNoStay for null.
std::vector<std::int64_t> StaysOf(const arrow::Array& array, const ColumnPlace& place);
// REQUIRES: indices within their dictionary (CheckIndices).
// Strings (plain, large, view or dictionary); integers are accepted for modifiers and printed.
// `serial` is copied into the result. Marks invalid UTF-8.
StringColumn StringsOf(const arrow::Array& array, std::uint64_t serial);

}  // namespace sequela
