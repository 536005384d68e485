#include "dataio/meds/arrow/event_columns.h"

#include <arrow/compute/cast.h>
#include <arrow/type.h>
#include <arrow/util/utf8.h>

#include <cmath>
#include <limits>

#include "dataio/base/missing_values.h"
#include "kernels/base/errors.h"
#include "kernels/base/printable_text.h"

namespace sequela {
namespace {

using arrow::Type;

std::string Text(const ColumnPlace& place) {
  return fmt::format("{}, row group {}, column '{}'", *place.file, place.row_group,
                     Printable(*place.column));
}

[[noreturn]] void WrongType(const arrow::DataType& type, const ColumnPlace& place,
                            const char* expected) {
  throw InputError(
      "{}, column '{}': type {} where MEDS has {}. Cast the column when writing the file.",
      *place.file, Printable(*place.column), Printable(type.ToString()), expected);
}

template <typename Array>
std::vector<std::int64_t> Integers(const arrow::Array& array, const ColumnPlace& place) {
  const auto& typed = static_cast<const Array&>(array);
  std::vector<std::int64_t> values(static_cast<std::size_t>(array.length()));
  for (std::int64_t i = 0; i < array.length(); ++i) {
    const auto value = typed.Value(i);
    if (!std::in_range<std::int64_t>(value)) {
      throw InputError("{}, row {}: an id beyond int64. MEDS subject ids are int64.", Text(place),
                       place.first_row + i);
    }
    values[static_cast<std::size_t>(i)] = static_cast<std::int64_t>(value);
  }
  return values;
}

// The years 1 to 9999, as Python's datetime: between any two the difference fits int64.
constexpr std::int64_t kFirstTimeUs = -62'135'596'800'000'000;
constexpr std::int64_t kLastTimeUs = 253'402'300'799'999'999;

[[noreturn]] void RefuseFraction(const ColumnPlace& place, std::int64_t row) {
  throw InputError(
      "{}, row {}: a time with nanoseconds below one microsecond, which MEDS "
      "(timestamp[us]) cannot hold. Round the times when writing the file.",
      Text(place), row);
}

// Ticks to microseconds by multiplication, checked, or by exact division.
struct TimeScale {
  std::int64_t multiply = 1;
  std::int64_t divide = 1;
};

TimeScale ScaleOf(const arrow::DataType& type) {
  if (type.id() == Type::DATE32) return {86'400'000'000, 1};
  if (type.id() == Type::DATE64) return {1000, 1};
  switch (static_cast<const arrow::TimestampType&>(type).unit()) {
    case arrow::TimeUnit::SECOND:
      return {1'000'000, 1};
    case arrow::TimeUnit::MILLI:
      return {1000, 1};
    case arrow::TimeUnit::MICRO:
      return {1, 1};
    case arrow::TimeUnit::NANO:
      return {1, 1000};
  }
  return {};
}

std::int64_t Microseconds(std::int64_t ticks, TimeScale scale, const ColumnPlace& place,
                          std::int64_t row) {
  if (ticks % scale.divide != 0) RefuseFraction(place, row);
  std::int64_t result = 0;
  if (__builtin_mul_overflow(ticks / scale.divide, scale.multiply, &result) ||
      result < kFirstTimeUs || result > kLastTimeUs) {
    throw InputError(
        "{}, row {}: a time outside of the years 1 to 9999. Mend it, or make it null where it "
        "stands "
        "for an unknown time.",
        Text(place), row);
  }
  return result;
}

template <typename Array>
std::vector<std::int64_t> Times(const arrow::Array& array, const ColumnPlace& place) {
  const auto& typed = static_cast<const Array&>(array);
  const TimeScale scale = ScaleOf(*array.type());
  const bool nulls = array.null_count() > 0;
  std::vector<std::int64_t> times(static_cast<std::size_t>(array.length()));
  for (std::int64_t i = 0; i < array.length(); ++i) {
    const bool null = nulls && array.IsNull(i);
    times[static_cast<std::size_t>(i)] =
        null ? kStaticTime
             : Microseconds(static_cast<std::int64_t>(typed.Value(i)), scale, place,
                            place.first_row + i);
  }
  return times;
}

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

template <typename Array>
std::vector<float> Numbers(const arrow::Array& array, EventReadCounts& counts) {
  const auto& typed = static_cast<const Array&>(array);
  const bool nulls = array.null_count() > 0;
  std::vector<float> values(static_cast<std::size_t>(array.length()));
  for (std::int64_t i = 0; i < array.length(); ++i) {
    float& out = values[static_cast<std::size_t>(i)];
    out = kNaN;
    if (nulls && array.IsNull(i)) continue;
    const auto value = typed.Value(i);
    const auto rounded = static_cast<float>(value);
    if (!std::isfinite(rounded)) {
      ++counts.nonfinite_values;
      continue;
    }
    out = rounded;
    if constexpr (!std::is_same_v<decltype(value), const float>) {
      counts.rounded_values += static_cast<double>(rounded) != static_cast<double>(value) ? 1 : 0;
    }
  }
  return values;
}

// Half floats, decimals: through double.
std::vector<float> NumbersThroughDouble(const arrow::Array& array, const ColumnPlace& place,
                                        EventReadCounts& counts) {
  const auto cast = arrow::compute::Cast(array, arrow::float64());
  if (!cast.ok()) WrongType(*array.type(), place, "float");  // Arrow's reason may show a value
  return Numbers<arrow::DoubleArray>(**cast, counts);
}

template <typename Array>
void AppendViews(const arrow::Array& array, std::vector<std::string_view>& views) {
  const auto& typed = static_cast<const Array&>(array);
  views.reserve(static_cast<std::size_t>(array.length()));
  for (std::int64_t i = 0; i < array.length(); ++i) {
    views.push_back(array.IsNull(i) ? std::string_view() : typed.GetView(i));
  }
}

void AppendStrings(const arrow::Array& array, std::vector<std::string_view>& views) {
  switch (array.type_id()) {
    case Type::STRING:
    case Type::BINARY:
      return AppendViews<arrow::BinaryArray>(array, views);
    case Type::LARGE_STRING:
    case Type::LARGE_BINARY:
      return AppendViews<arrow::LargeBinaryArray>(array, views);
    case Type::STRING_VIEW:
    case Type::BINARY_VIEW:
      return AppendViews<arrow::BinaryViewArray>(array, views);
    default:
      throw InputError("strings of type {}", Printable(array.type()->ToString()));
  }
}

bool IsPlainString(const arrow::DataType& type) {
  const auto id = type.id();
  return id == Type::STRING || id == Type::LARGE_STRING || id == Type::STRING_VIEW ||
         id == Type::BINARY || id == Type::LARGE_BINARY || id == Type::BINARY_VIEW;
}

void MarkInvalid(StringColumn& column) {
  arrow::util::InitializeUTF8();
  for (std::size_t i = 0; i < column.dictionary.size(); ++i) {
    if (arrow::util::ValidateUTF8(column.dictionary[i])) continue;
    column.invalid.resize(column.dictionary.size());
    column.invalid[i] = true;
  }
}

void FillIndex(const arrow::DictionaryArray& array, std::vector<std::uint32_t>& index) {
  const arrow::Array& values = *array.dictionary();
  for (std::int64_t i = 0; i < array.length(); ++i) {
    if (array.IsNull(i)) {
      index.push_back(StringColumn::kNull);
      continue;
    }
    const std::int64_t entry = array.GetValueIndex(i);
    index.push_back(values.IsNull(entry) ? StringColumn::kNull : static_cast<std::uint32_t>(entry));
  }
}

}  // namespace

void CheckIntegerType(const arrow::DataType& type, const ColumnPlace& place) {
  if (!arrow::is_integer(type.id())) WrongType(type, place, "int64");
}

void CheckTimeType(const arrow::DataType& type, const ColumnPlace& place) {
  if (type.id() == Type::DATE32 || type.id() == Type::DATE64) return;
  if (type.id() != Type::TIMESTAMP) WrongType(type, place, "timestamp[us]");
  const std::string& zone = static_cast<const arrow::TimestampType&>(type).timezone();
  if (!(zone.empty() || zone == "UTC" || zone == "Etc/UTC" || zone == "GMT" || zone == "Z" ||
        zone == "+00:00")) {
    throw InputError(
        "{}, column '{}': time zone {} where MEDS times have none. Convert the times to "
        "one local time or to UTC when writing the file.",
        *place.file, Printable(*place.column), Printable(zone));
  }
}

bool IsNumberType(const arrow::DataType& type) {
  return arrow::is_integer(type.id()) || arrow::is_floating(type.id()) ||
         arrow::is_decimal(type.id());
}

void CheckNumberType(const arrow::DataType& type, const ColumnPlace& place) {
  if (!IsNumberType(type) && type.id() != Type::NA) WrongType(type, place, "float32");
}

void CheckStringType(const arrow::DataType& type, const ColumnPlace& place) {
  if (IsPlainString(type) || type.id() == Type::NA) return;
  if (type.id() == Type::DICTIONARY &&
      IsPlainString(*static_cast<const arrow::DictionaryType&>(type).value_type())) {
    return;
  }
  WrongType(type, place, "string");
}

std::vector<std::int64_t> SubjectsOf(const arrow::Array& array, const ColumnPlace& place) {
  if (array.null_count() > 0) {
    std::int64_t row = 0;
    while (!array.IsNull(row)) ++row;
    throw InputError("{}, row {}: a null subject_id. Every MEDS event belongs to a subject.",
                     Text(place), place.first_row + row);
  }
  switch (array.type_id()) {
    case Type::INT8:
      return Integers<arrow::Int8Array>(array, place);
    case Type::INT16:
      return Integers<arrow::Int16Array>(array, place);
    case Type::INT32:
      return Integers<arrow::Int32Array>(array, place);
    case Type::INT64:
      return Integers<arrow::Int64Array>(array, place);
    case Type::UINT8:
      return Integers<arrow::UInt8Array>(array, place);
    case Type::UINT16:
      return Integers<arrow::UInt16Array>(array, place);
    case Type::UINT32:
      return Integers<arrow::UInt32Array>(array, place);
    case Type::UINT64:
      return Integers<arrow::UInt64Array>(array, place);
    default:
      WrongType(*array.type(), place, "int64");
  }
}

std::vector<std::int64_t> TimesOf(const arrow::Array& array, const ColumnPlace& place) {
  switch (array.type_id()) {
    case Type::TIMESTAMP:
      return Times<arrow::TimestampArray>(array, place);
    case Type::DATE32:
      return Times<arrow::Date32Array>(array, place);
    case Type::DATE64:
      return Times<arrow::Date64Array>(array, place);
    default:
      WrongType(*array.type(), place, "timestamp[us]");
  }
}

void RefuseNanoseconds(const arrow::Array& micro, const arrow::Array& nano,
                       const ColumnPlace& place) {
  const auto& us = static_cast<const arrow::TimestampArray&>(micro);
  const auto& ns = static_cast<const arrow::TimestampArray&>(nano);
  for (std::int64_t i = 0; i < us.length(); ++i) {
    if (us.IsNull(i)) continue;
    const auto wrapped = static_cast<std::uint64_t>(us.Value(i)) * 1000U;
    if (wrapped != static_cast<std::uint64_t>(ns.Value(i))) {
      RefuseFraction(place, place.first_row + i);
    }
  }
}

std::vector<float> ValuesOf(const arrow::Array& array, const ColumnPlace& place,
                            EventReadCounts& counts) {
  switch (array.type_id()) {
    case Type::NA:
      return std::vector<float>(static_cast<std::size_t>(array.length()), kNaN);
    case Type::FLOAT:
      return Numbers<arrow::FloatArray>(array, counts);
    case Type::DOUBLE:
      return Numbers<arrow::DoubleArray>(array, counts);
    case Type::INT8:
      return Numbers<arrow::Int8Array>(array, counts);
    case Type::INT16:
      return Numbers<arrow::Int16Array>(array, counts);
    case Type::INT32:
      return Numbers<arrow::Int32Array>(array, counts);
    case Type::INT64:
      return Numbers<arrow::Int64Array>(array, counts);
    case Type::UINT8:
      return Numbers<arrow::UInt8Array>(array, counts);
    case Type::UINT16:
      return Numbers<arrow::UInt16Array>(array, counts);
    case Type::UINT32:
      return Numbers<arrow::UInt32Array>(array, counts);
    case Type::UINT64:
      return Numbers<arrow::UInt64Array>(array, counts);
    default:
      return NumbersThroughDouble(array, place, counts);
  }
}

std::vector<std::int64_t> StaysOf(const arrow::Array& array, const ColumnPlace& place) {
  arrow::Result<std::shared_ptr<arrow::Array>> cast = arrow::MakeArray(array.data());
  if (array.type_id() == Type::DICTIONARY) cast = arrow::compute::Cast(**cast, arrow::utf8());
  if (cast.ok()) cast = arrow::compute::Cast(**cast, arrow::int64());
  if (!cast.ok()) {  // Arrow's reason shows a value
    throw InputError(
        "{}: stay ids are integers, and in rows {} to {} are others (the column's type is {}). "
        "Name "
        "another stay column, or number the stays when writing the file.",
        Text(place), place.first_row, place.first_row + array.length() - 1,
        Printable(array.type()->ToString()));
  }
  const auto& typed = static_cast<const arrow::Int64Array&>(**cast);
  std::vector<std::int64_t> stays(static_cast<std::size_t>(array.length()), kNoStay);
  for (std::int64_t i = 0; i < array.length(); ++i) {
    if (!typed.IsNull(i)) stays[static_cast<std::size_t>(i)] = typed.Value(i);
  }
  return stays;
}

StringColumn StringsOf(const arrow::Array& array, std::uint64_t serial) {
  StringColumn column;
  column.serial = serial;
  column.index.reserve(static_cast<std::size_t>(array.length()));
  if (array.type_id() == Type::NA) {
    column.index.assign(static_cast<std::size_t>(array.length()), StringColumn::kNull);
    return column;
  }
  if (array.type_id() == Type::DICTIONARY) {
    const auto& coded = static_cast<const arrow::DictionaryArray&>(array);
    AppendStrings(*coded.dictionary(), column.dictionary);
    FillIndex(coded, column.index);
  } else {
    AppendStrings(array, column.dictionary);
    for (std::int64_t i = 0; i < array.length(); ++i) {
      column.index.push_back(array.IsNull(i) ? StringColumn::kNull : static_cast<std::uint32_t>(i));
    }
  }
  MarkInvalid(column);
  return column;
}

}  // namespace sequela
