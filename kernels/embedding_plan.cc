#include <algorithm>

#include "kernels/base/int_math.h"
#include "kernels/embedding.h"

namespace sequela {
namespace {

EmbeddingPlan::ImageLayout LayoutOf(std::int64_t pieces, std::int64_t split_tokens,
                                    std::int64_t tokens) {
  // Descending alignment: no gaps.
  EmbeddingPlan::ImageLayout layout{};
  layout.split_tokens = pieces * static_cast<std::int64_t>(sizeof(EmbeddingPlan::Piece));
  layout.position = layout.split_tokens +
                    split_tokens * static_cast<std::int64_t>(sizeof(EmbeddingPlan::SplitToken));
  layout.bytes = layout.position + tokens * static_cast<std::int64_t>(sizeof(std::int32_t));
  return layout;
}

// A token is split where it has more positions than one piece holds.
std::int64_t MaxSplitTokens(std::int64_t tokens) {
  return tokens / (EmbeddingPlan::kPiecePositions + 1);
}

}  // namespace

void EmbeddingPlan::Reserve(std::int64_t max_tokens) {
  const auto size = static_cast<std::size_t>(max_tokens);
  keys_.reserve(size);
  position_.reserve(size);
  pieces_.reserve(size);
  split_tokens_.reserve(static_cast<std::size_t>(MaxSplitTokens(max_tokens)));
}

void EmbeddingPlan::Build(std::span<const std::int32_t> token, std::int64_t table_rows) {
  keys_.clear();
  position_.clear();
  pieces_.clear();
  split_tokens_.clear();
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
    const std::int64_t first_partial = num_partials_;
    for (std::size_t i = begin; i < end; i += static_cast<std::size_t>(kPiecePositions)) {
      const std::size_t piece_end = std::min(end, i + static_cast<std::size_t>(kPiecePositions));
      const std::int64_t partial = split ? num_partials_++ : -1;
      pieces_.push_back({token_at(begin), narrow<std::int32_t>(i), narrow<std::int32_t>(piece_end),
                         narrow<std::int32_t>(partial)});
    }
    if (split) {
      split_tokens_.push_back({token_at(begin), narrow<std::int32_t>(first_partial),
                               narrow<std::int32_t>(num_partials_ - first_partial)});
    }
    begin = end;
  }
}

EmbeddingPlan::ImageLayout EmbeddingPlan::image_layout() const {
  return LayoutOf(std::ssize(pieces_), std::ssize(split_tokens_), num_tokens());
}

std::int64_t EmbeddingPlan::ImageBytesBound(std::int64_t max_tokens) {
  return LayoutOf(max_tokens, MaxSplitTokens(max_tokens), max_tokens).bytes;
}

void EmbeddingPlan::WriteImage(std::span<std::byte> image) const {
  const ImageLayout layout = image_layout();
  SEQUELA_CHECK(std::ssize(image) >= layout.bytes, "image of {} bytes, wanted {}", image.size(),
                layout.bytes);
  const auto write = [&](std::int64_t begin, const auto& values) {
    const auto bytes = std::as_bytes(std::span(values));
    std::ranges::copy(bytes, image.begin() + begin);
  };
  write(layout.pieces, pieces_);
  write(layout.split_tokens, split_tokens_);
  write(layout.position, position_);
}

}  // namespace sequela
