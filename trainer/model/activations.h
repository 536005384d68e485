// The memory of one forward and backward pass, planned before the first step: where every
// activation lies in one arena, known from the model and the largest batch alone. A step allocates
// nothing.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "kernels/base/tensor_view.h"
#include "kernels/exec.h"
#include "runtime/arena.h"
#include "runtime/device.h"
#include "trainer/model/model_config.h"

namespace sequela {

// What the backward pass computes again instead of keeping. Never changes a bit of the result.
enum class Recompute : std::uint8_t {
  kNone,       // everything that backward reads is kept
  kSelective,  // what one cheap pass gives is computed again: norms' and SwiGLU's outputs
  kFull,       // only the residual stream at each block's entry is kept
};
std::string_view NameOf(Recompute level);         // "none", "selective", "full"
Recompute ParseRecompute(std::string_view name);  // throws InputError listing the three names

struct DecoderOptions {
  DType compute_dtype = DType::kFloat32;  // kFloat32 or kBFloat16: weights and activations
  Recompute recompute = Recompute::kNone;
  int num_threads = 1;
  std::int64_t max_tokens = 4096;        // of one batch
  std::int64_t max_document_tokens = 0;  // of one document; 0: max_tokens
  bool with_backward = true;             // false: Evaluate and Logits alone
};

// T = tokens, d = hidden_size, f = intermediate_size, N / G = query / key heads, H = head_dim. Rows
// beyond a batch's tokens are unused. Compute dtype where not said otherwise; rstd and lse are
// fp32.

// What a block's forward leaves for its backward.
struct BlockActivations {
  TensorView entry;          // [T, d] the residual stream as the block finds it
  TensorView entry_rstd;     // [T, 1]
  TensorView entry_normed;   // [T, d]
  TensorView qkv;            // [T, (N + 2 G) H] q and k rotated, unless there is QK-norm
  TensorView qk;             // [T, (N + G) H] QK-norm only: q and k normed and rotated
  TensorView query_rstd;     // QK-norm only: [T, N]
  TensorView key_rstd;       // QK-norm only: [T, G]
  TensorView attention;      // [T, N H]
  TensorView lse;            // [T, N]
  TensorView middle;         // [T, d] the residual stream after attention
  TensorView middle_rstd;    // [T, 1]
  TensorView middle_normed;  // [T, d]
  TensorView gate_up;        // [T, 2 f]; backward leaves its gradient here
  TensorView swiglu;         // [T, f]
};

// What is used within one block or one pass and shared by all.
struct SharedActivations {
  TensorView rope_cos;  // [T, H / 2] fp32; on a GPU they come with the batch (batch_input.h)
  TensorView rope_sin;
  TensorView branch;        // [T, d] what a block's half adds to the residual stream
  TensorView final_entry;   // [T, d] the residual stream after the last block
  TensorView final_rstd;    // [T, 1]
  TensorView final_normed;  // [T, d]
  TensorView nll;           // [T, 1] fp32
  // Backward alone.
  TensorView d_residual;   // [T, d]
  TensorView d_branch;     // [T, d] d_residual through dropout; without dropout d_residual itself
  TensorView d_normed;     // [T, d] the memory of `branch`
  TensorView d_swiglu;     // [T, f] the memory of d_attention and d_qkv
  TensorView d_attention;  // [T, N H]
  TensorView d_qkv;        // [T, (N + 2 G) H]
};

struct Activations {
  std::vector<BlockActivations> blocks;
  SharedActivations shared;
  std::span<std::byte> workspace;  // of every operation in turn
};

// Allocates all of it: on a measuring arena to learn the size, then on the real one, which lies on
// `device`.
Activations AllocateActivations(const ModelConfig& config, const DecoderOptions& options,
                                const Device& device, Arena& arena);
// The first `tokens` rows of everything, written into `out` (made once, so that nothing is
// allocated).
void NarrowActivations(const Activations& all, std::int64_t tokens, Activations& out);
// The bytes that AllocateActivations takes.
std::int64_t ActivationBytes(const ModelConfig& config, const DecoderOptions& options,
                             const Device& device = HostDevice());

}  // namespace sequela
