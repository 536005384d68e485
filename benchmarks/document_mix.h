// The documents that steps and attention are timed on: lengths drawn once from a lognormal
// distribution (median 500, sigma 0.9, cut to 16..2048), as records of patients have them.
#pragma once

#include <algorithm>
#include <numeric>
#include <vector>

namespace sequela {

// 30 documents, 16,384 tokens.
inline const std::vector<int> kDocuments16k = {373, 208, 780, 733, 336, 457,  99,   226, 608, 855,
                                               496, 238, 363, 802, 146, 1479, 407,  242, 196, 181,
                                               994, 148, 234, 548, 168, 177,  2048, 439, 357, 2046};

// Eight of the same flavour, 4,868 tokens, for models whose step takes long.
inline const std::vector<int> kDocuments4k = {146, 181, 234, 357, 439, 608, 855, 2048};

// The lengths in micro-batches of at most max_tokens: longest first, into the first that has room.
inline std::vector<std::vector<int>> PackFirstFit(std::vector<int> lengths, int max_tokens) {
  std::sort(lengths.rbegin(), lengths.rend());
  std::vector<std::vector<int>> bins;
  for (const int length : lengths) {
    auto bin = std::find_if(bins.begin(), bins.end(), [&](const std::vector<int>& b) {
      return std::accumulate(b.begin(), b.end(), length) <= max_tokens;
    });
    if (bin == bins.end()) bin = bins.insert(bins.end(), std::vector<int>());
    bin->push_back(length);
  }
  return bins;
}

}  // namespace sequela
