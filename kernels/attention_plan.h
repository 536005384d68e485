// The work list of packed attention: built once per batch on the host, reused by every layer,
// forward and backward. A batch is a stream of T rows cut into documents; row i sees the keys
// [kv_begin(i), kv_end(i)) of its own document.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/layout/attention_image.h"

namespace sequela {

// One piece of work for one key head and the query heads that share it.
struct AttentionWorkItem {
  std::int32_t document = 0;
  std::int32_t first_row = 0;  // query rows [first_row, first_row + num_rows), all of the document
  std::int32_t num_rows = 0;
  std::int32_t kv_begin = 0;  // the union of the rows' key intervals
  std::int32_t kv_end = 0;
};

// Immutable after building; safe for concurrent use.
class AttentionPlan {
 public:
  // Forward work is cut at these rows, counted from the document's begin: the pieces of a document
  // do not depend on what else is in the batch.
  static constexpr std::int32_t kForwardRows = 384;

  AttentionPlan() = default;

  // Each row sees itself and all that is before it in its document.
  // document_begin: [documents + 1], from 0 to T, ascending, may repeat (a document without
  // tokens). document_ids: [documents] or empty; names a document whatever batch it is in (dropout
  // depends on it). Empty: its place in the batch.
  static AttentionPlan Causal(std::span<const std::int32_t> document_begin,
                              std::span<const std::int64_t> document_ids = {});

  // Any intervals, kv_begin and kv_end [T]. REQUIRES, for every row i of a document [b, e): an
  // empty interval, or b <= kv_begin(i) < kv_end(i) <= i + 1 (a row that saw a later one would see
  // its own target); neither bound ever decreases within a document, empty intervals included.
  static AttentionPlan FromIntervals(std::span<const std::int32_t> document_begin,
                                     std::span<const std::int32_t> kv_begin,
                                     std::span<const std::int32_t> kv_end,
                                     std::span<const std::int64_t> document_ids = {});

  std::int64_t num_tokens() const { return static_cast<std::int64_t>(kv_begin_.size()); }
  std::int64_t num_documents() const { return static_cast<std::int64_t>(document_ids_.size()); }
  std::int64_t longest_document() const { return longest_document_; }
  // Pairs (row, key) that see each other, for one head: attention costs 4 FLOPs per pair and head
  // dimension forward, 10 backward.
  std::int64_t num_pairs() const { return num_pairs_; }

  std::int32_t document_begin(std::int64_t document) const {
    return document_begin_[static_cast<std::size_t>(document)];
  }
  std::int64_t document_id(std::int64_t document) const {
    return document_ids_[static_cast<std::size_t>(document)];
  }
  std::span<const std::int32_t> kv_begin() const { return kv_begin_; }  // [T]
  std::span<const std::int32_t> kv_end() const { return kv_end_; }      // [T]

  // Every row of every document exactly once, the dearest item first.
  std::span<const AttentionWorkItem> forward_items() const { return forward_items_; }
  // Whole documents, the dearest first: one item owns the gradients of its keys.
  std::span<const AttentionWorkItem> backward_items() const { return backward_items_; }

  // The CUDA kernels' work list, one block of bytes described in layout/attention_image.h. Its
  // tiles are built when it is written: a plan for the CPU does not pay for them.
  AttentionImageLayout image_layout() const;
  std::int64_t ImageBytes() const { return image_layout().bytes; }
  // image: at least ImageBytes(), 64-byte aligned, on the host.
  void WriteImage(std::span<std::byte> image) const;
  // No plan of so many tokens and documents has a larger image.
  static std::int64_t ImageBytesBound(std::int64_t max_tokens, std::int64_t max_documents);

 private:
  void BuildItems();
  std::vector<AttentionTile> RowTiles(std::int32_t rows) const;
  std::vector<AttentionTile> KeyTiles() const;

  std::vector<std::int32_t> document_begin_ = {0};
  std::vector<std::int64_t> document_ids_;
  std::vector<std::int32_t> kv_begin_;
  std::vector<std::int32_t> kv_end_;
  std::vector<AttentionWorkItem> forward_items_;
  std::vector<AttentionWorkItem> backward_items_;
  std::int64_t longest_document_ = 0;
  std::int64_t num_pairs_ = 0;
};

}  // namespace sequela
