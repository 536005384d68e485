// The parts that attention forward and backward share: packing, products of tiles, masks. Included
// once per Highway target.
//
// A tile is rows x keys. Rows go in groups of kGroupRows (registers hold a group times two
// vectors), keys in panels of two vectors. Whether a tile's (group, panel) is computed at all is
// decided per group, so that causality wastes less than a panel per row.
#if defined(SEQUELA_KERNELS_CPU_ATTENTION_TILES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SEQUELA_KERNELS_CPU_ATTENTION_TILES_INL_H_
#undef SEQUELA_KERNELS_CPU_ATTENTION_TILES_INL_H_
#else
#define SEQUELA_KERNELS_CPU_ATTENTION_TILES_INL_H_
#endif

#include <algorithm>
#include <cstdint>
#include <limits>

#include "kernels/attention.h"
#include "kernels/base/philox.h"
#include "kernels/cpu/attention_layout.h"
#include "kernels/cpu/micro_product-inl.h"
#include "kernels/cpu/panels-inl.h"
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace sequela::cpu {
namespace HWY_NAMESPACE {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

// C [rows, columns] += ..., columns a multiple of the lanes, rows at most kGroupRows.
template <bool kTransposedA>
HWY_INLINE void AddProduct(std::int64_t rows, std::int64_t columns, Operand a, Operand b,
                           std::int64_t depth, float* c, std::int64_t ldc) {
  std::int64_t column = 0;
  for (; column + PanelKeys() <= columns; column += PanelKeys()) {
    ProductOfRows<2, kTransposedA>(rows, a, {b.data + column, b.stride}, depth, c + column, ldc,
                                   true);
  }
  if (column < columns) {
    ProductOfRows<1, kTransposedA>(rows, a, {b.data + column, b.stride}, depth, c + column, ldc,
                                   true);
  }
}

// ---- Packing ----

// Rows of one head as floats, `stride` apart, zeros in the columns up to RowStride.
template <typename T>
HWY_INLINE void PackRows(const T* from, std::int64_t from_stride, std::int64_t rows,
                         std::int64_t head_size, float* HWY_RESTRICT to, std::int64_t to_stride) {
  for (std::int64_t row = 0; row < rows; ++row) {
    ConvertRow(from + row * from_stride, to + row * to_stride, head_size);
    for (std::int64_t h = head_size; h < to_stride; ++h) to[row * to_stride + h] = 0.0F;
  }
}

// ---- What each row and group of a tile sees ----

struct KeyRange {
  std::int64_t begin = 0, end = 0;
  bool empty() const { return begin >= end; }
};

// Key ranges relative to the tile's first key, cut to the tile.
struct TileMask {
  KeyRange row[kMaxTileRows];
  KeyRange group[kMaxTileRows];  // the union of its rows' ranges, outward to whole panels
  std::int64_t num_rows = 0;
  std::int64_t num_groups = 0;
  bool empty = true;

  std::int64_t GroupRows(std::int64_t g) const {
    return std::min<std::int64_t>(kGroupRows, num_rows - g * kGroupRows);
  }
};

HWY_INLINE void FillTileMask(const AttentionPlan& plan, std::int64_t first_row, std::int64_t rows,
                             std::int64_t first_key, std::int64_t keys, TileMask& mask) {
  const std::int64_t width = PanelKeys();
  mask.num_rows = rows;
  mask.num_groups = (rows + kGroupRows - 1) / kGroupRows;
  mask.empty = true;
  for (std::int64_t g = 0; g < mask.num_groups; ++g) {
    KeyRange all;
    for (std::int64_t r = g * kGroupRows; r < g * kGroupRows + mask.GroupRows(g); ++r) {
      const auto i = static_cast<std::size_t>(first_row + r);
      KeyRange& mine = mask.row[r];
      mine.begin = std::max<std::int64_t>(plan.kv_begin()[i] - first_key, 0);
      mine.end = std::min<std::int64_t>(plan.kv_end()[i] - first_key, keys);
      if (mine.empty()) {
        mine = {};
        continue;
      }
      all = all.empty() ? mine
                        : KeyRange{std::min(all.begin, mine.begin), std::max(all.end, mine.end)};
    }
    if (all.empty()) {
      mask.group[g] = {};
      continue;
    }
    mask.group[g] = {all.begin / width * width, (all.end + width - 1) / width * width};
    mask.empty = false;
  }
}

// Scores outside the row's range become -inf, within its group's range.
HWY_INLINE void MaskRow(const TileMask& mask, std::int64_t row, float* scores) {
  const KeyRange group = mask.group[row / kGroupRows], mine = mask.row[row];
  if (mine.empty()) {
    std::fill(scores + group.begin, scores + group.end, kMinusInfinity);
    return;
  }
  std::fill(scores + group.begin, scores + mine.begin, kMinusInfinity);
  std::fill(scores + mine.end, scores + group.end, kMinusInfinity);
}

// scores [rows, keys] = a_rows . panels, for each group's range of keys.
HWY_INLINE void ScoreTile(const TileMask& mask, const float* a_rows, std::int64_t a_stride,
                          const float* panels, std::int64_t head_size, float* scores) {
  const std::int64_t width = PanelKeys();
  for (std::int64_t panel = 0; panel * width < kMaxTileKeys; ++panel) {
    const std::int64_t key = panel * width;
    for (std::int64_t g = 0; g < mask.num_groups; ++g) {
      if (key < mask.group[g].begin || key >= mask.group[g].end) continue;
      const std::int64_t row = g * kGroupRows;
      ProductOfRows<2, false>(mask.GroupRows(g), {a_rows + row * a_stride, a_stride},
                              {panels + key * head_size, width}, head_size,
                              scores + row * kScoreStride + key, kScoreStride, false);
    }
  }
}

// Multiplies a row of probabilities, or of their gradients, by what dropout keeps of it.
HWY_INLINE void DropRow(const DropoutStream& stream, std::int64_t row, std::int64_t first_key,
                        KeyRange range, float* values) {
  for (std::int64_t key = range.begin; key < range.end; key += 4) {
    const PhiloxBlock words = stream.Words(row, (first_key + key) / 4);
    for (int i = 0; i < 4; ++i) values[key + i] *= stream.Keep(words[static_cast<std::size_t>(i)]);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace sequela::cpu
HWY_AFTER_NAMESPACE();
#endif
