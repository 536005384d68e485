#include "dataio/loader/event_balance.h"

#include <algorithm>
#include <cmath>

#include "dataio/store/chain_store.h"
#include "kernels/base/check.h"

namespace sequela {

std::vector<float> BalanceWeights(const Vocabulary& vocabulary, double alpha) {
  SEQUELA_CHECK(alpha >= 0 && alpha <= 1, "alpha = {}", alpha);
  std::vector<float> weights(static_cast<std::size_t>(vocabulary.size()), 1.0F);
  if (alpha == 1) return weights;
  const auto raw = [&](const TokenEntry& entry) {
    return std::pow(static_cast<double>(std::max<std::int64_t>(1, entry.train_count)), alpha - 1);
  };
  double sum = 0;
  double count = 0;
  for (const TokenEntry& entry : vocabulary.tokens()) {
    if (!IsTarget(entry)) continue;
    sum += raw(entry) * static_cast<double>(entry.train_count);
    count += static_cast<double>(entry.train_count);
  }
  const double scale = sum > 0 ? count / sum : 1.0;
  for (std::int32_t token = 0; token < vocabulary.size(); ++token) {
    if (!IsTarget(vocabulary[token])) continue;
    weights[static_cast<std::size_t>(token)] = static_cast<float>(scale * raw(vocabulary[token]));
  }
  return weights;
}

}  // namespace sequela
