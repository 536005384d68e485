// Exact quantile bins of float32 values by two passes of radix counting on order-preserving keys:
// the first counts the upper 16 bits of every value, the second the lower 16 bits inside the
// buckets that hold a cut or much mass. Counts are merged by integer addition, so that the edges
// depend on nothing but the values: no order, no workers, no sketch.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

namespace sequela {

// a < b exactly if OrderKey(a) < OrderKey(b); -0 and +0 are one. REQUIRES: not NaN.
std::uint32_t OrderKey(float value);
float FromOrderKey(std::uint32_t key);

using KeyCount = std::pair<std::uint32_t, std::uint64_t>;  // key or bucket (ascending), count

// Buckets (upper 16 bits) whose inside must be counted to fit `bins` bins.
std::vector<std::uint32_t> BucketsToRefine(const std::vector<KeyCount>& buckets, int bins);

// Upper edges of the bins: bin i holds the values v with edge[i-1] < v <= edge[i], the last one all
// above the last edge, so that there is one bin more than edges. Every bin holds at least one
// value.
//   - at most `bins` distinct values: a bin each;
//   - else cuts at the quantiles 1/bins, 2/bins, ..., and a bin of its own for every value that
//     holds more than 1/bins of the mass (there may then be more than `bins`).
// `buckets` as above; `exact`: counts of the full keys inside the refined buckets.
std::vector<float> FitBinEdges(const std::vector<KeyCount>& buckets,
                               const std::vector<KeyCount>& exact, int bins);

}  // namespace sequela
