// What a Parquet footer tells about a column before it is read. Leaves are numbered as in the file.
#pragma once

#include <parquet/metadata.h>

#include <cstdint>
#include <vector>

namespace sequela {

// Whether the statistics of all row groups say that the column holds nothing but nulls.
bool HasOnlyNulls(const parquet::FileMetaData& footer, int leaf);

// Whether a column of strings may be read as a dictionary: Arrow cannot do so with delta pages, and
// of plain pages it makes a dictionary that grows until the end of the row group, which is fine up
// to `most_bytes`.
bool CanBeDictionary(const parquet::FileMetaData& footer, int leaf, std::int64_t most_bytes);

// So many rows of a row group that their values stay within `batch_bytes`, as far as the footer
// tells their size. Shared prefixes hide it (delta pages): few rows, then.
std::int64_t BatchRows(const parquet::FileMetaData& footer, int row_group,
                       const std::vector<int>& leaves, std::int64_t batch_bytes);

}  // namespace sequela
