// Attention's host side: which family of kernels, their parameters and grids.
#include "kernels/cuda/attention.h"

#include <limits>

#include "kernels/base/check.h"
#include "kernels/base/int_math.h"
#include "kernels/cuda/attention_kernels.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/matrix.h"

namespace sequela::cuda {
namespace {

constexpr float kLog2E = 1.44269504088896340736F;

// As cp.async wants them, and as near to each other as 32 bits can tell.
bool RowsAreAligned(const ConstTensorView& view) {
  constexpr std::uintptr_t kBytes = 16;  // of one cp.async
  return reinterpret_cast<std::uintptr_t>(view.data) % kBytes == 0 &&
         view.stride <= std::numeric_limits<std::int32_t>::max() &&
         (view.rows <= 1 ||
          view.stride * SizeOf(view.dtype) % static_cast<std::int64_t>(kBytes) == 0);
}

template <typename Args>
bool TensorCoresKnow(const Args& args) {
  return args.q_TNH.dtype == DType::kBFloat16 &&
         (args.shape.head_size == 64 || args.shape.head_size == 128) &&
         args.dropout.probability == 0.0F && RowsAreAligned(args.q_TNH) &&
         RowsAreAligned(args.k_TGH) && RowsAreAligned(args.v_TGH) && RowsAreAligned(args.out_TNH);
}

template <typename T, typename Args>
AttentionInputs<T> InputsOf(const Args& args) {
  return {.q = RowsOf<T>(args.q_TNH),
          .k = RowsOf<T>(args.k_TGH),
          .v = RowsOf<T>(args.v_TGH),
          .plan = ViewOfImage(args.plan_image, args.plan->image_layout()),
          .dropout = MakeAttentionDropoutSettings(args.dropout.probability, args.dropout.seed,
                                                  args.dropout.stream),
          .softmax_scale = args.softmax_scale,
          .num_query_heads = narrow<std::int32_t>(args.shape.num_query_heads),
          .heads_per_key_head =
              narrow<std::int32_t>(args.shape.num_query_heads / args.shape.num_key_heads),
          .head_size = narrow<std::int32_t>(args.shape.head_size)};
}

template <typename T>
AttentionForwardParams<T> ForwardParams(const AttentionForwardArgs& args) {
  return {
      .in = InputsOf<T>(args), .out = RowsOf<T>(args.out_TNH), .lse = RowsOf<float>(args.lse_TN)};
}

template <typename T>
AttentionBackwardParams<T> BackwardParams(const AttentionBackwardArgs& args,
                                          AttentionRowTerms* terms, float lse_factor) {
  return {.in = InputsOf<T>(args),
          .out = RowsOf<T>(args.out_TNH),
          .lse = RowsOf<float>(args.lse_TN),
          .dout = RowsOf<T>(args.dout_TNH),
          .dq = RowsOf<T>(args.dq_TNH),
          .dk = RowsOf<T>(args.dk_TGH),
          .dv = RowsOf<T>(args.dv_TGH),
          .terms = terms,
          .num_tokens = args.q_TNH.rows,
          .lse_factor = lse_factor};
}

// One block per (tile, head); what the two families launch.
struct Grid {
  std::int64_t tiles;
  std::int64_t heads;
};

LaunchShape PlainShape(const Grid& grid, std::int64_t head_size, int owned_matrices) {
  return {.blocks = grid.tiles * grid.heads,
          .threads = AttentionPlainTiles::kThreads,
          .shared_bytes =
              AttentionPlainTiles::SharedBytes(static_cast<int>(head_size), owned_matrices)};
}

LaunchShape TensorShape(const Grid& grid, const AttentionKernelTiles& tiles,
                        std::int64_t head_size) {
  return {.blocks = grid.tiles * grid.heads,
          .threads = tiles.threads(),
          .shared_bytes = tiles.shared_bytes(static_cast<int>(head_size))};
}

// What backward launches; the tiles are those of the tensor-core kernels.
struct BackwardKernels {
  KernelName terms, dq, dkv;
  AttentionKernelTiles dq_tiles, dkv_tiles;
};

BackwardKernels TensorBackwardKernels(std::int64_t head_size) {
  const bool is_64 = head_size == 64;
  const KernelName terms = CUDA_KERNEL(sequela_attention_terms_aligned);
  if (IsHopper()) {
    return {terms,
            is_64 ? CUDA_KERNEL(sequela_attention_dq_64_hopper)
                  : CUDA_KERNEL(sequela_attention_dq_128_hopper),
            is_64 ? CUDA_KERNEL(sequela_attention_dkv_64_hopper)
                  : CUDA_KERNEL(sequela_attention_dkv_128_hopper),
            kHopperAttentionQueryGradientTiles, kHopperAttentionKeyGradientTiles};
  }
  return {terms,
          is_64 ? CUDA_KERNEL(sequela_attention_dq_64) : CUDA_KERNEL(sequela_attention_dq_128),
          is_64 ? CUDA_KERNEL(sequela_attention_dkv_64) : CUDA_KERNEL(sequela_attention_dkv_128),
          kAttentionQueryGradientTiles, kAttentionKeyGradientTiles};
}

void LaunchTensorForward(const Exec& exec, const AttentionForwardArgs& args) {
  const std::int64_t size = args.shape.head_size;
  const bool is_64 = size == 64, hopper = IsHopper();
  const KernelName kernel = hopper  ? is_64 ? CUDA_KERNEL(sequela_attention_forward_64_hopper)
                                            : CUDA_KERNEL(sequela_attention_forward_128_hopper)
                             : is_64 ? CUDA_KERNEL(sequela_attention_forward_64)
                                    : CUDA_KERNEL(sequela_attention_forward_128);
  const Grid grid{args.plan->image_layout().num_forward_tiles, args.shape.num_query_heads};
  Launch(exec, kernel,
         TensorShape(
             grid,
             hopper ? kHopperAttentionForwardTiles : AttentionForwardTiles(static_cast<int>(size)),
             size),
         ForwardParams<bf16>(args));
}

// Terms first, then dQ and dK/dV, which read them.
template <typename T>
void LaunchBackward(const Exec& exec, const AttentionBackwardArgs& args, bool tensor_cores,
                    const BackwardKernels& kernels) {
  const AttentionShape& shape = args.shape;
  const AttentionImageLayout layout = args.plan->image_layout();
  const Grid dq{layout.num_query_tiles, shape.num_query_heads};
  const Grid dkv{layout.num_key_tiles, shape.num_key_heads};
  const auto params =
      BackwardParams<T>(args, reinterpret_cast<AttentionRowTerms*>(exec.workspace.data()),
                        tensor_cores ? kLog2E : 1.0F);
  const std::int64_t terms_threads =
      args.q_TNH.rows * shape.num_query_heads * (tensor_cores ? kAttentionTermsLanes : 1);
  Launch(
      exec, kernels.terms,
      {.blocks = CeilDiv(terms_threads, kAttentionTermsThreads), .threads = kAttentionTermsThreads},
      params);
  Launch(exec, kernels.dq,
         tensor_cores ? TensorShape(dq, kernels.dq_tiles, shape.head_size)
                      : PlainShape(dq, shape.head_size, 2),
         params);
  Launch(exec, kernels.dkv,
         tensor_cores ? TensorShape(dkv, kernels.dkv_tiles, shape.head_size)
                      : PlainShape(dkv, shape.head_size, 2),
         params);
}

}  // namespace

bool AttentionUsesTensorCores(const AttentionForwardArgs& args) { return TensorCoresKnow(args); }

bool AttentionUsesTensorCores(const AttentionBackwardArgs& args) {
  return TensorCoresKnow(args) && RowsAreAligned(args.dout_TNH) && RowsAreAligned(args.dq_TNH) &&
         RowsAreAligned(args.dk_TGH) && RowsAreAligned(args.dv_TGH);
}

void AttentionForward(const Exec& exec, const AttentionForwardArgs& args) {
  const AttentionImageLayout layout = args.plan->image_layout();
  const std::int64_t heads = args.shape.num_query_heads, size = args.shape.head_size;
  const LaunchShape plain = PlainShape({layout.num_query_tiles, heads}, size, 1);
  if (AttentionUsesTensorCores(args)) {
    LaunchTensorForward(exec, args);
  } else if (args.q_TNH.dtype == DType::kBFloat16) {
    Launch(exec, CUDA_KERNEL(sequela_attention_plain_forward_bf16), plain,
           ForwardParams<bf16>(args));
  } else {
    Launch(exec, CUDA_KERNEL(sequela_attention_plain_forward_f32), plain,
           ForwardParams<float>(args));
  }
}

std::int64_t AttentionForwardWorkspaceBytes(const Exec&, const AttentionShape&) { return 0; }

void AttentionBackward(const Exec& exec, const AttentionBackwardArgs& args) {
  const std::int64_t wanted = AttentionBackwardWorkspaceBytes(exec, args.shape, args.q_TNH.rows);
  SEQUELA_CHECK(std::ssize(exec.workspace) >= wanted, "workspace of {} bytes, wanted {}",
                exec.workspace.size(), wanted);
  if (AttentionUsesTensorCores(args)) {
    LaunchBackward<bf16>(exec, args, true, TensorBackwardKernels(args.shape.head_size));
  } else if (args.q_TNH.dtype == DType::kBFloat16) {
    LaunchBackward<bf16>(exec, args, false,
                         {CUDA_KERNEL(sequela_attention_terms_bf16),
                          CUDA_KERNEL(sequela_attention_plain_dq_bf16),
                          CUDA_KERNEL(sequela_attention_plain_dkv_bf16),
                          {},
                          {}});
  } else {
    LaunchBackward<float>(exec, args, false,
                          {CUDA_KERNEL(sequela_attention_terms_f32),
                           CUDA_KERNEL(sequela_attention_plain_dq_f32),
                           CUDA_KERNEL(sequela_attention_plain_dkv_f32),
                           {},
                           {}});
  }
}

std::int64_t AttentionBackwardWorkspaceBytes(const Exec&, const AttentionShape& shape,
                                             std::int64_t tokens) {
  return tokens * shape.num_query_heads * static_cast<std::int64_t>(sizeof(AttentionRowTerms));
}

}  // namespace sequela::cuda
