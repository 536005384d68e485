#include <algorithm>
#include <numeric>

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

void EmbeddingPlan::Reserve(std::int64_t max_tokens, std::int64_t table_rows) {
  const auto size = static_cast<std::size_t>(max_tokens);
  end_.reserve(static_cast<std::size_t>(table_rows));
  position_.reserve(size);
  pieces_.reserve(size);
  split_tokens_.reserve(static_cast<std::size_t>(MaxSplitTokens(max_tokens)));
}

void EmbeddingPlan::Build(std::span<const std::int32_t> token, std::int64_t table_rows) {
  pieces_.clear();
  split_tokens_.clear();
  num_partials_ = 0;
  SortByToken(token, table_rows);
  std::int32_t begin = 0;
  for (std::int64_t row = 0; row < table_rows; ++row) {
    const std::int32_t end = end_[static_cast<std::size_t>(row)];
    if (begin < end) AddPieces(narrow<std::int32_t>(row), begin, end);
    begin = end;
  }
}

// By counting: how often each token occurs, where its positions begin, and then one after another.
void EmbeddingPlan::SortByToken(std::span<const std::int32_t> token, std::int64_t table_rows) {
  end_.assign(static_cast<std::size_t>(table_rows), 0);
  for (std::size_t t = 0; t < token.size(); ++t) {
    SEQUELA_CHECK(token[t] >= 0 && token[t] < table_rows, "token {} of {}", token[t], table_rows);
    ++end_[static_cast<std::size_t>(token[t])];
  }
  std::exclusive_scan(end_.begin(), end_.end(), end_.begin(), 0);
  position_.resize(token.size());
  for (std::size_t t = 0; t < token.size(); ++t) {
    const std::int32_t to = end_[static_cast<std::size_t>(token[t])]++;
    position_[static_cast<std::size_t>(to)] = static_cast<std::int32_t>(t);
  }
}

// Of a token whose positions are [begin, end).
void EmbeddingPlan::AddPieces(std::int32_t token, std::int32_t begin, std::int32_t end) {
  constexpr auto kPositions = static_cast<std::int32_t>(kPiecePositions);
  const bool split = end - begin > kPositions;
  const std::int64_t first_partial = num_partials_;
  for (std::int32_t i = begin; i < end; i += kPositions) {
    const std::int64_t partial = split ? num_partials_++ : -1;
    pieces_.push_back({token, i, std::min(end, i + kPositions), narrow<std::int32_t>(partial)});
  }
  if (split) {
    split_tokens_.push_back({token, narrow<std::int32_t>(first_partial),
                             narrow<std::int32_t>(num_partials_ - first_partial)});
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
