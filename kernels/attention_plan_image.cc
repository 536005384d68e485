// The CUDA part of AttentionPlan: tiles for the kernels, written as one image.
#include <algorithm>
#include <cstring>

#include "kernels/attention_plan.h"
#include "kernels/base/check.h"
#include "kernels/base/int_math.h"
#include "kernels/layout/attention_tiles.h"

namespace sequela {
namespace {

constexpr std::int64_t kPartAlignment = 64;

// Places the parts one after another; the counts are given.
AttentionImageLayout PlaceParts(AttentionImageLayout layout) {
  std::int64_t end = 0;
  const auto place = [&end](std::int64_t bytes) {
    const std::int64_t begin = end;
    end = RoundUp(end + bytes, kPartAlignment);
    return begin;
  };
  constexpr auto kTileBytes = static_cast<std::int64_t>(sizeof(AttentionTile));
  place(static_cast<std::int64_t>(sizeof(AttentionImageLayout)));
  layout.kv_begin = place(4 * layout.num_tokens);
  layout.kv_end = place(4 * layout.num_tokens);
  layout.document_begin = place(4 * (layout.num_documents + 1));
  layout.document_id = place(8 * layout.num_documents);
  layout.forward_tiles = place(kTileBytes * layout.num_forward_tiles);
  layout.query_tiles = place(kTileBytes * layout.num_query_tiles);
  layout.key_tiles = place(kTileBytes * layout.num_key_tiles);
  layout.bytes = end;
  return layout;
}

// The longest document first, and of each its longest tiles: a block's time grows with what its
// rows meet. Equals stay in the order of the batch. In: document after document.
std::vector<AttentionTile> LongestFirst(const std::vector<AttentionTile>& tiles) {
  std::vector<std::span<const AttentionTile>> documents;
  for (std::size_t begin = 0; begin < tiles.size();) {
    std::size_t end = begin;
    while (end < tiles.size() && tiles[end].document == tiles[begin].document) ++end;
    documents.push_back(std::span(tiles).subspan(begin, end - begin));
    begin = end;
  }
  const auto rows = [](std::span<const AttentionTile> document) {
    return document.back().first + document.back().count - document.front().first;
  };
  std::ranges::stable_sort(documents,
                           [&](const auto& a, const auto& b) { return rows(a) > rows(b); });
  std::vector<AttentionTile> sorted;
  for (const std::span<const AttentionTile> document : documents) {
    const auto begin = sorted.insert(sorted.end(), document.begin(), document.end());
    std::stable_sort(begin, sorted.end(), [](const AttentionTile& a, const AttentionTile& b) {
      return a.end - a.begin > b.end - b.begin;
    });
    const auto at = narrow<std::int32_t>(begin - sorted.begin());
    for (auto tile = begin; tile != sorted.end(); ++tile) {
      tile->list_begin = at;
      tile->list_count = narrow<std::int32_t>(std::ssize(document));
    }
  }
  return sorted;
}

template <typename Range>
void CopyPart(std::span<std::byte> image, std::int64_t offset, const Range& part) {
  if (part.empty()) return;
  std::memcpy(image.data() + offset, part.data(), part.size() * sizeof(*part.data()));
}

}  // namespace

AttentionImageLayout AttentionPlan::image_layout() const {
  AttentionImageLayout layout{.num_tokens = num_tokens(), .num_documents = num_documents()};
  for (std::size_t document = 0; document + 1 < document_begin_.size(); ++document) {
    const std::int64_t rows = document_begin_[document + 1] - document_begin_[document];
    layout.num_forward_tiles += CeilDiv(rows, kAttentionForwardRows);
    layout.num_query_tiles += CeilDiv(rows, kAttentionQueryGradientTiles.owned);
    layout.num_key_tiles += CeilDiv(rows, kAttentionKeyGradientTiles.owned);
  }
  return PlaceParts(layout);
}

std::int64_t AttentionPlan::ImageBytesBound(std::int64_t max_tokens, std::int64_t max_documents) {
  // Every document may end in a tile of its own, beside the full ones.
  const auto tiles = [&](int owned) { return max_tokens / owned + max_documents; };
  return PlaceParts({.num_tokens = max_tokens,
                     .num_documents = max_documents,
                     .num_forward_tiles = tiles(kAttentionForwardRows),
                     .num_query_tiles = tiles(kAttentionQueryGradientTiles.owned),
                     .num_key_tiles = tiles(kAttentionKeyGradientTiles.owned)})
      .bytes;
}

void AttentionPlan::WriteImage(std::span<std::byte> image) const {
  const AttentionImageLayout layout = image_layout();
  SEQUELA_CHECK(std::ssize(image) >= layout.bytes, "{} bytes for an image of {}", image.size(),
                layout.bytes);
  CopyPart(image, 0, std::span(&layout, 1));
  CopyPart(image, layout.kv_begin, kv_begin_);
  CopyPart(image, layout.kv_end, kv_end_);
  CopyPart(image, layout.document_begin, document_begin_);
  CopyPart(image, layout.document_id, document_ids_);
  CopyPart(image, layout.forward_tiles, RowTiles(kAttentionForwardRows));
  CopyPart(image, layout.query_tiles, RowTiles(kAttentionQueryGradientTiles.owned));
  CopyPart(image, layout.key_tiles, KeyTiles());
}

std::vector<AttentionTile> AttentionPlan::RowTiles(std::int32_t rows) const {
  std::vector<AttentionTile> tiles;
  for (std::size_t document = 0; document + 1 < document_begin_.size(); ++document) {
    const std::int32_t end = document_begin_[document + 1];
    for (std::int32_t first = document_begin_[document]; first < end; first += rows) {
      const std::int32_t last = std::min(end, first + rows) - 1;
      tiles.push_back({.document = narrow<std::int32_t>(document),
                       .first = first,
                       .count = last + 1 - first,
                       .begin = kv_begin_[static_cast<std::size_t>(first)],
                       .end = kv_end_[static_cast<std::size_t>(last)]});
    }
  }
  return LongestFirst(tiles);
}

std::vector<AttentionTile> AttentionPlan::KeyTiles() const {
  constexpr std::int32_t kKeys = kAttentionKeyGradientTiles.owned;
  std::vector<AttentionTile> tiles;
  for (std::size_t document = 0; document + 1 < document_begin_.size(); ++document) {
    const std::int32_t begin = document_begin_[document], end = document_begin_[document + 1];
    const auto rows_of = [&](const std::vector<std::int32_t>& bounds) {
      return std::span(bounds).subspan(static_cast<std::size_t>(begin),
                                       static_cast<std::size_t>(end - begin));
    };
    const auto kv_begin = rows_of(kv_begin_), kv_end = rows_of(kv_end_);
    for (std::int32_t first = begin; first < end; first += kKeys) {
      const std::int32_t last = std::min(end, first + kKeys) - 1;
      // Neither bound ever falls within a document: the rows from the first that ends beyond the
      // first key to the last that begins before the end.
      const auto see_begin =
          begin + narrow<std::int32_t>(std::ranges::upper_bound(kv_end, first) - kv_end.begin());
      const auto see_end =
          begin + narrow<std::int32_t>(std::ranges::upper_bound(kv_begin, last) - kv_begin.begin());
      tiles.push_back({.document = narrow<std::int32_t>(document),
                       .first = first,
                       .count = last + 1 - first,
                       .begin = see_begin,
                       .end = std::max(see_begin, see_end)});
    }
  }
  return LongestFirst(tiles);
}

}  // namespace sequela
