#include "dataio/meds/arrow/column_chunks.h"

#include <parquet/statistics.h>

#include <algorithm>

namespace sequela {
namespace {

template <typename Predicate>
bool AnyChunk(const parquet::FileMetaData& footer, int leaf, const Predicate& predicate) {
  for (int g = 0; g < footer.num_row_groups(); ++g) {
    if (predicate(*footer.RowGroup(g)->ColumnChunk(leaf))) return true;
  }
  return false;
}

bool HasDeltaPages(const parquet::ColumnChunkMetaData& chunk) {
  const auto& encodings = chunk.encodings();
  return std::any_of(encodings.begin(), encodings.end(), [](auto encoding) {
    return encoding == parquet::Encoding::DELTA_BYTE_ARRAY ||
           encoding == parquet::Encoding::DELTA_LENGTH_BYTE_ARRAY;
  });
}

bool HasOnlyDictionaryPages(const parquet::ColumnChunkMetaData& chunk) {
  const auto& pages = chunk.encoding_stats();
  return !pages.empty() && std::all_of(pages.begin(), pages.end(), [](const auto& page) {
    return page.page_type == parquet::PageType::DICTIONARY_PAGE ||
           page.encoding == parquet::Encoding::RLE_DICTIONARY ||
           page.encoding == parquet::Encoding::PLAIN_DICTIONARY;
  });
}

}  // namespace

bool HasOnlyNulls(const parquet::FileMetaData& footer, int leaf) {
  return !AnyChunk(footer, leaf, [](const parquet::ColumnChunkMetaData& chunk) {
    if (chunk.num_values() == 0) return false;
    const auto statistics = chunk.is_stats_set() ? chunk.statistics() : nullptr;
    return !statistics || !statistics->HasNullCount() ||
           statistics->null_count() != chunk.num_values();
  });
}

bool CanBeDictionary(const parquet::FileMetaData& footer, int leaf, std::int64_t most_bytes) {
  return !AnyChunk(footer, leaf, [&](const parquet::ColumnChunkMetaData& chunk) {
    return HasDeltaPages(chunk) ||
           (!HasOnlyDictionaryPages(chunk) && chunk.total_uncompressed_size() > most_bytes);
  });
}

std::int64_t BatchRows(const parquet::FileMetaData& footer, int row_group,
                       const std::vector<int>& leaves, std::int64_t batch_bytes) {
  constexpr std::int64_t kMost = 64 * 1024;
  constexpr std::int64_t kMostOfUnknownSize = 4 * 1024;
  const auto group = footer.RowGroup(row_group);
  std::int64_t bytes = 0;
  std::int64_t most = kMost;
  for (const int leaf : leaves) {
    const auto chunk = group->ColumnChunk(leaf);
    if (HasDeltaPages(*chunk)) most = kMostOfUnknownSize;
    bytes += std::max<std::int64_t>(0, chunk->total_uncompressed_size());
  }
  const std::int64_t per_row = 1 + bytes / std::max<std::int64_t>(1, group->num_rows());
  return std::clamp<std::int64_t>(batch_bytes / per_row, 1, most);
}

}  // namespace sequela
