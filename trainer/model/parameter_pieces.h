// The decoder's parameters: their table (names, shapes, order) and where each layer finds its own.
#pragma once

#include <vector>

#include "runtime/parameter_table.h"
#include "trainer/model/model_config.h"

namespace sequela {

// The parameters of one linear layer, which may be several of Hugging Face's side by side: q, k, v
// or gate, up. Indices into the table.
struct LinearPieces {
  int first = -1;  // weights [out, in], joined
  int last = -1;
  int first_bias = -1;  // vectors [out], joined; -1: none
  int last_bias = -1;

  bool has_bias() const { return first_bias >= 0; }
};

struct BlockPieces {
  LinearPieces qkv;
  LinearPieces output;
  LinearPieces gate_up;
  LinearPieces down;
  int input_norm = -1;
  int post_attention_norm = -1;
  int query_norm = -1;  // -1: no QK-norm
  int key_norm = -1;
};

struct DecoderPieces {
  LinearPieces head;  // tied: the embedding
  int final_norm = -1;
  std::vector<BlockPieces> blocks;
  int embedding = -1;
  bool tied = false;
};

// In the order in which backward finishes: lm_head (untied), final norm, blocks from the last to
// the first (down, gate and up, post-attention norm, o, q/k/v with their biases, q and k norms,
// input norm), the embedding (tied: with the head's share) last. The tied head has no piece of its
// own.
ParameterTable BuildParameterTable(const ModelConfig& config);

// Finds the pieces of BuildParameterTable's table by name.
DecoderPieces FindDecoderPieces(const ModelConfig& config, const ParameterTable& table);

}  // namespace sequela
