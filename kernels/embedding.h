// Token embedding: rows of a table by token, and their gradient.
//
// T tokens, V rows of the table, D channels. Safe for concurrent use on different outputs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/base/tensor_view.h"
#include "kernels/exec.h"
#include "kernels/layout/embedding_image.h"

namespace sequela {

struct EmbeddingForwardArgs {
  std::span<const std::int32_t> token;  // [T], each in [0, V)
  ConstTensorView table_VD;             // fp32 or bf16
  TensorView out_TD;                    // the table's dtype; written in full
};
void EmbeddingForward(const Exec& exec, const EmbeddingForwardArgs& args);

// The positions of a batch grouped by token, so that the gradient of a table row is summed in one
// fixed order without atomics. Built once a batch on the host; Build() reuses its memory and
// allocates only while batches grow (Reserve avoids that). One thread at a time.
class EmbeddingPlan {
 public:
  // A token that occurs often is summed in pieces of this many positions, which are then added in
  // order: a fixed number, so that the sum is the same for any number of threads.
  static constexpr std::int64_t kPiecePositions = 64;

  using Piece = EmbeddingPiece;
  using SplitToken = EmbeddingSplitToken;

  // After it, Build allocates nothing.
  void Reserve(std::int64_t max_tokens, std::int64_t table_rows);
  // In time proportional to tokens + table_rows: a device waits for it. REQUIRES: 0 <= token <
  // table_rows.
  void Build(std::span<const std::int32_t> token, std::int64_t table_rows);

  std::span<const std::int32_t> position() const { return position_; }
  // In ascending (token, begin).
  std::span<const Piece> pieces() const { return pieces_; }
  // In ascending token.
  std::span<const SplitToken> split_tokens() const { return split_tokens_; }
  std::int64_t num_partials() const { return num_partials_; }
  std::int64_t num_tokens() const { return static_cast<std::int64_t>(position_.size()); }

  // The plan as one block of bytes for device memory: the three lists above, one after another.
  // This says where in the block each begins.
  struct ImageLayout {
    std::int64_t pieces;
    std::int64_t split_tokens;
    std::int64_t position;
    std::int64_t bytes;
  };
  ImageLayout image_layout() const;
  std::int64_t ImageBytes() const { return image_layout().bytes; }
  // image: at least ImageBytes() of host memory, at a multiple of 16 bytes.
  void WriteImage(std::span<std::byte> image) const;
  // No plan of so many tokens has a larger image.
  static std::int64_t ImageBytesBound(std::int64_t max_tokens);

 private:
  void SortByToken(std::span<const std::int32_t> token, std::int64_t table_rows);
  void AddPieces(std::int32_t token, std::int32_t begin, std::int32_t end);

  std::vector<std::int32_t> end_;  // by token: of its positions so far
  std::vector<std::int32_t> position_;
  std::vector<Piece> pieces_;
  std::vector<SplitToken> split_tokens_;
  std::int64_t num_partials_ = 0;
};

struct EmbeddingBackwardArgs {
  const EmbeddingPlan* plan;  // of the same tokens
  // CUDA: the plan's image in device memory, at a multiple of 16 bytes; unused on the CPU.
  const std::byte* plan_image = nullptr;
  ConstTensorView d_out_TD;  // fp32 or bf16; read
  TensorView d_table_VD;     // fp32; the batch's gradient is added, rows without a token untouched
};
// Bytes of exec.workspace that a backward of at most `max_tokens` tokens needs.
std::int64_t EmbeddingBackwardWorkspaceBytes(std::int64_t max_tokens, std::int64_t channels);
void EmbeddingBackward(const Exec& exec, const EmbeddingBackwardArgs& args);

}  // namespace sequela
