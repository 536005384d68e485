#include <algorithm>

#include "kernels/base/int_math.h"
#include "kernels/embedding.h"

namespace sequela {

void EmbeddingPlan::Reserve(std::int64_t max_tokens) {
  const auto size = static_cast<std::size_t>(max_tokens);
  keys_.reserve(size);
  position_.reserve(size);
  pieces_.reserve(size);
}

void EmbeddingPlan::Build(std::span<const std::int32_t> token, std::int64_t table_rows) {
  keys_.clear();
  position_.clear();
  pieces_.clear();
  num_partials_ = 0;
  for (std::size_t t = 0; t < token.size(); ++t) {
    SEQUELA_CHECK(token[t] >= 0 && token[t] < table_rows, "token {} of {}", token[t], table_rows);
    keys_.push_back(static_cast<std::uint64_t>(token[t]) << 32 | t);
  }
  std::ranges::sort(keys_);
  for (const std::uint64_t key : keys_) {
    position_.push_back(static_cast<std::int32_t>(key & 0xffffffffU));
  }
  const auto token_at = [&](std::size_t i) { return static_cast<std::int32_t>(keys_[i] >> 32); };
  for (std::size_t begin = 0; begin < keys_.size();) {
    std::size_t end = begin;
    while (end < keys_.size() && token_at(end) == token_at(begin)) ++end;
    const bool split = end - begin > static_cast<std::size_t>(kPiecePositions);
    for (std::size_t i = begin; i < end; i += static_cast<std::size_t>(kPiecePositions)) {
      const std::size_t piece_end = std::min(end, i + static_cast<std::size_t>(kPiecePositions));
      const std::int64_t partial = split ? num_partials_++ : -1;
      pieces_.push_back({token_at(begin), narrow<std::int32_t>(i), narrow<std::int32_t>(piece_end),
                         narrow<std::int32_t>(partial)});
    }
    begin = end;
  }
}

}  // namespace sequela
