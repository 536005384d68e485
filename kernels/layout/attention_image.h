// The work list of attention as it lies in device memory: one block of bytes that the host writes
// (AttentionPlan::WriteImage) and copies once a batch. In this order, each part at a multiple of 64
// bytes from the image's begin:
//   AttentionImageLayout       this header
//   kv_begin, kv_end           int32 [T] each
//   document_begin             int32 [documents + 1]
//   document_id                int64 [documents]
//   forward_tiles              AttentionTile [num_forward_tiles]: those of the longest document
//                              first, and of each document the longest first
//   query_tiles, key_tiles     likewise, for dQ and for dK/dV
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/base/host_device.h"

namespace sequela {

// One block's work for one head. Tiles are cut from the document's begin, so that a document's
// results do not depend on where it lies in the batch.
struct AttentionTile {
  std::int32_t document = 0;
  std::int32_t first = 0;  // the block's own rows (queries; keys for dK/dV): [first, first + count)
  std::int32_t count = 0;
  std::int32_t begin = 0;  // the rows of the other side that may meet them, [begin, end): the keys
  std::int32_t end = 0;    // that any of the queries sees; the queries that see any of the keys
  std::int32_t list_begin = 0;  // the document's tiles in the list: [list_begin, + list_count)
  std::int32_t list_count = 0;
};

// Offsets in bytes from the image's begin. The host keeps a copy: it launches by the counts.
struct AttentionImageLayout {
  std::int64_t num_tokens = 0;
  std::int64_t num_documents = 0;
  std::int64_t num_forward_tiles = 0;
  std::int64_t num_query_tiles = 0;
  std::int64_t num_key_tiles = 0;
  std::int64_t kv_begin = 0;
  std::int64_t kv_end = 0;
  std::int64_t document_begin = 0;
  std::int64_t document_id = 0;
  std::int64_t forward_tiles = 0;
  std::int64_t query_tiles = 0;
  std::int64_t key_tiles = 0;
  std::int64_t bytes = 0;  // of the whole image
};

// The image as kernels read it; all in device memory.
struct AttentionDeviceView {
  const std::int32_t* kv_begin = nullptr;        // [T]
  const std::int32_t* kv_end = nullptr;          // [T]
  const std::int32_t* document_begin = nullptr;  // [documents + 1]
  const std::int64_t* document_id = nullptr;     // [documents]
  const AttentionTile* forward_tiles = nullptr;
  const AttentionTile* query_tiles = nullptr;
  const AttentionTile* key_tiles = nullptr;
};

inline AttentionDeviceView ViewOfImage(const std::byte* image, const AttentionImageLayout& layout) {
  const auto at = [&](std::int64_t offset) { return static_cast<const void*>(image + offset); };
  return {.kv_begin = static_cast<const std::int32_t*>(at(layout.kv_begin)),
          .kv_end = static_cast<const std::int32_t*>(at(layout.kv_end)),
          .document_begin = static_cast<const std::int32_t*>(at(layout.document_begin)),
          .document_id = static_cast<const std::int64_t*>(at(layout.document_id)),
          .forward_tiles = static_cast<const AttentionTile*>(at(layout.forward_tiles)),
          .query_tiles = static_cast<const AttentionTile*>(at(layout.query_tiles)),
          .key_tiles = static_cast<const AttentionTile*>(at(layout.key_tiles))};
}

// Blocks that run at the same time share what they read of the other side where they belong to one
// document and to few heads: within the L2 cache of an A100 (40 MB) or an H100 (50 MB), and still
// enough blocks at once that the longest of the last heads are not left alone at the end.
inline constexpr std::int32_t kAttentionSharedBytes = 32 << 20;

// A block's work: which tile of the list for which head.
struct AttentionBlock {
  std::int32_t tile = 0;
  std::int32_t head = 0;
};

// Of block `block` of (tiles x heads): document after document in the list's order, of each as many
// heads at once as share the cache, of those tile after tile. row_bytes: of the other side, one row
// and head.
SEQUELA_HOST_DEVICE inline AttentionBlock AttentionBlockOf(const AttentionTile* tiles,
                                                           const std::int32_t* document_begin,
                                                           std::int32_t block, std::int32_t heads,
                                                           std::int32_t row_bytes) {
  const AttentionTile any = tiles[block / heads];  // of the document
  const std::int32_t rows = document_begin[any.document + 1] - document_begin[any.document];
  const std::int32_t fit = kAttentionSharedBytes / row_bytes / rows;
  const std::int32_t at_once = fit < 1 ? 1 : fit > heads ? heads : fit;
  const std::int32_t in_document = block - any.list_begin * heads;
  const std::int32_t first_head = in_document / (at_once * any.list_count) * at_once;
  const std::int32_t group = at_once < heads - first_head ? at_once : heads - first_head;
  const std::int32_t in_group = in_document - first_head * any.list_count;
  return {any.list_begin + in_group / group, first_head + in_group % group};
}

}  // namespace sequela
