// Parquet files of any shape, good and bad, for tests of reading. Needs Arrow.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace sequela::testing {

// `type` as Arrow prints it: int32, uint64, float, double, decimal128(12, 3), string, large_string,
// string_view, dictionary, null, timestamp[ms], timestamp[us, ZONE], date32, bool; or struct, of one string
// named part. Values as text, cast to it.
struct OddColumn {
  std::string name;
  std::string type;
  std::vector<std::optional<std::string>> values;
};

struct OddOptions {
  std::string codec = "snappy";  // uncompressed, snappy, gzip, brotli, zstd, lz4_raw, lz4_hadoop
  std::int64_t row_group_rows = 1'000'000;
  bool dictionary_encoding = true;
  bool page_checksums = false;
  // Of column `encoded`: delta_byte_array or delta_length_byte_array; empty: as usual.
  std::string encoding;
  std::string encoded = "code";
  bool int96_times = false;
};

void WriteOddParquet(const std::filesystem::path& file, const std::vector<OddColumn>& columns,
                     const OddOptions& options = {});

}  // namespace sequela::testing
