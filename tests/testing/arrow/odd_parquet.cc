#include "tests/testing/arrow/odd_parquet.h"

#include <arrow/array/builder_dict.h>
#include <arrow/array/util.h>
#include <arrow/builder.h>
#include <arrow/compute/cast.h>
#include <arrow/io/file.h>
#include <arrow/table.h>
#include <arrow/util/compression.h>
#include <parquet/arrow/writer.h>

#include <map>

#include "kernels/base/check.h"

namespace sequela::testing {
namespace {

template <typename T>
T Must(arrow::Result<T> result) {
  SEQUELA_CHECK(result.ok(), "{}", result.status().ToString());
  return std::move(result).ValueUnsafe();
}
void Must(const arrow::Status& status) { SEQUELA_CHECK(status.ok(), "{}", status.ToString()); }

std::shared_ptr<arrow::DataType> TypeOf(const std::string& name) {
  const std::map<std::string, std::shared_ptr<arrow::DataType>> types = {
      {"int8", arrow::int8()},
      {"int16", arrow::int16()},
      {"int32", arrow::int32()},
      {"int64", arrow::int64()},
      {"uint8", arrow::uint8()},
      {"uint16", arrow::uint16()},
      {"uint32", arrow::uint32()},
      {"uint64", arrow::uint64()},
      {"float", arrow::float32()},
      {"double", arrow::float64()},
      {"decimal128(12, 3)", arrow::decimal128(12, 3)},
      {"bool", arrow::boolean()},
      {"null", arrow::null()},
      {"string", arrow::utf8()},
      {"large_string", arrow::large_utf8()},
      {"string_view", arrow::utf8_view()},
      {"date32", arrow::date32()},
      {"timestamp[s]", arrow::timestamp(arrow::TimeUnit::SECOND)},
      {"timestamp[ms]", arrow::timestamp(arrow::TimeUnit::MILLI)},
      {"timestamp[us]", arrow::timestamp(arrow::TimeUnit::MICRO)},
      {"timestamp[ns]", arrow::timestamp(arrow::TimeUnit::NANO)}};
  const auto found = types.find(name);
  SEQUELA_CHECK(found != types.end(), "{}", name);
  return found->second;
}

template <typename Builder>
std::shared_ptr<arrow::Array> Strings(Builder&& builder, const OddColumn& column) {
  for (const auto& value : column.values) {
    Must(value ? builder.Append(*value) : builder.AppendNull());
  }
  std::shared_ptr<arrow::Array> array;
  Must(builder.Finish(&array));
  return array;
}

std::shared_ptr<arrow::Array> ArrayOf(const OddColumn& column) {
  if (column.type == "dictionary") return Strings(arrow::StringDictionaryBuilder(), column);
  if (column.type == "large_string") return Strings(arrow::LargeStringBuilder(), column);
  if (column.type == "string_view") return Strings(arrow::StringViewBuilder(), column);
  if (column.type == "null")
    return Must(
        arrow::MakeArrayOfNull(arrow::null(), static_cast<std::int64_t>(column.values.size())));
  auto text = Strings(arrow::StringBuilder(), column);
  if (column.type == "string") return text;
  if (column.type == "struct") {
    return Must(arrow::StructArray::Make({text}, std::vector<std::string>{"part"}));
  }
  constexpr std::string_view kZoned = "timestamp[us, ";
  if (column.type.starts_with(kZoned)) {
    const auto plain = Must(arrow::compute::Cast(*text, TypeOf("timestamp[us]")));
    auto data = plain->data()->Copy();
    std::string zone = column.type.substr(kZoned.size());
    zone.pop_back();
    data->type = arrow::timestamp(arrow::TimeUnit::MICRO, zone);
    return arrow::MakeArray(data);
  }
  return Must(arrow::compute::Cast(*text, TypeOf(column.type)));
}

}  // namespace

void WriteOddParquet(const std::filesystem::path& file, const std::vector<OddColumn>& columns,
                     const OddOptions& options) {
  arrow::FieldVector fields;
  arrow::ArrayVector arrays;
  for (const OddColumn& column : columns) {
    arrays.push_back(ArrayOf(column));
    fields.push_back(arrow::field(column.name, arrays.back()->type()));
  }
  std::filesystem::create_directories(file.parent_path());
  const auto stream = Must(arrow::io::FileOutputStream::Open(file.string()));
  parquet::WriterProperties::Builder properties;
  properties.compression(Must(arrow::util::Codec::GetCompressionType(options.codec)));
  if (!options.dictionary_encoding) properties.disable_dictionary();
  if (options.page_checksums) properties.enable_page_checksum();
  if (!options.encoding.empty()) {
    properties.disable_dictionary(options.encoded);
    properties.encoding(options.encoded, options.encoding == "delta_byte_array"
                                             ? parquet::Encoding::DELTA_BYTE_ARRAY
                                             : parquet::Encoding::DELTA_LENGTH_BYTE_ARRAY);
  }
  parquet::ArrowWriterProperties::Builder arrow_builder;
  if (options.int96_times) {
    arrow_builder.enable_deprecated_int96_timestamps();
  } else {
    arrow_builder.store_schema();
  }
  const auto arrow_properties = arrow_builder.build();
  Must(parquet::arrow::WriteTable(*arrow::Table::Make(arrow::schema(fields), arrays),
                                  arrow::default_memory_pool(), stream, options.row_group_rows,
                                  properties.build(), arrow_properties));
  Must(stream->Close());
}

}  // namespace sequela::testing
