// Chooses the backend of the matrix operations: gemm, attention, cross-entropy.
#include "kernels/attention.h"
#include "kernels/base/check.h"
#include "kernels/cpu/attention.h"
#include "kernels/cpu/cross_entropy.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cross_entropy.h"
#include "kernels/cuda/matrix.h"
#include "kernels/gemm.h"

namespace sequela {
namespace {

bool IsCuda(const Exec& exec) { return exec.backend == Backend::kCuda; }

void CheckMatrix(const ConstTensorView& view, std::int64_t rows, std::int64_t columns,
                 DType dtype) {
  SEQUELA_CHECK(view.rows == rows && view.columns == columns && view.dtype == dtype,
                "[{}, {}] where [{}, {}] is wanted, or another type", view.rows, view.columns, rows,
                columns);
}

// What forward and backward ask alike.
template <typename Args>
void CheckAttention(const Args& args) {
  const AttentionShape& shape = args.shape;
  SEQUELA_CHECK(shape.num_key_heads > 0 && shape.num_query_heads % shape.num_key_heads == 0,
                "{} query heads, {} key heads", shape.num_query_heads, shape.num_key_heads);
  SEQUELA_CHECK(shape.head_size > 0 && shape.head_size % 8 == 0 && shape.head_size <= 256,
                "head size {}", shape.head_size);
  SEQUELA_CHECK(args.softmax_scale > 0.0F && args.dropout.probability >= 0.0F &&
                args.dropout.probability < 1.0F);
  SEQUELA_CHECK(args.plan != nullptr && args.plan->num_tokens() == args.q_TNH.rows);
  const DType dtype = args.q_TNH.dtype;
  SEQUELA_CHECK(dtype == DType::kFloat32 || dtype == DType::kBFloat16);
  const std::int64_t tokens = args.q_TNH.rows;
  CheckMatrix(args.q_TNH, tokens, shape.num_query_heads * shape.head_size, dtype);
  CheckMatrix(args.k_TGH, tokens, shape.num_key_heads * shape.head_size, dtype);
  CheckMatrix(args.v_TGH, tokens, shape.num_key_heads * shape.head_size, dtype);
  CheckMatrix(args.out_TNH, tokens, shape.num_query_heads * shape.head_size, dtype);
  CheckMatrix(args.lse_TN, tokens, shape.num_query_heads, DType::kFloat32);
}

}  // namespace

void AttentionForward(const Exec& exec, const AttentionForwardArgs& args) {
  CheckAttention(args);
  IsCuda(exec) ? cuda::AttentionForward(exec, args) : cpu::AttentionForward(exec, args);
}

std::int64_t AttentionForwardWorkspaceBytes(const Exec& exec, const AttentionShape& shape) {
  return IsCuda(exec) ? cuda::AttentionForwardWorkspaceBytes(exec, shape)
                      : cpu::AttentionForwardWorkspaceBytes(exec, shape);
}

void AttentionBackward(const Exec& exec, const AttentionBackwardArgs& args) {
  CheckAttention(args);
  const DType dtype = args.q_TNH.dtype;
  CheckMatrix(args.dout_TNH, args.q_TNH.rows, args.q_TNH.columns, dtype);
  CheckMatrix(args.dq_TNH, args.q_TNH.rows, args.q_TNH.columns, dtype);
  CheckMatrix(args.dk_TGH, args.k_TGH.rows, args.k_TGH.columns, dtype);
  CheckMatrix(args.dv_TGH, args.v_TGH.rows, args.v_TGH.columns, dtype);
  IsCuda(exec) ? cuda::AttentionBackward(exec, args) : cpu::AttentionBackward(exec, args);
}

std::int64_t AttentionBackwardWorkspaceBytes(const Exec& exec, const AttentionShape& shape,
                                             std::int64_t longest_document) {
  return IsCuda(exec) ? cuda::AttentionBackwardWorkspaceBytes(exec, shape, longest_document)
                      : cpu::AttentionBackwardWorkspaceBytes(exec, shape, longest_document);
}

void Gemm(const Exec& exec, const GemmArgs& args) {
  IsCuda(exec) ? cuda::Gemm(exec, args) : cpu::Gemm(exec, args);
}

std::int64_t GemmWorkspaceBytes(const Exec& exec, const GemmArgs& args) {
  return IsCuda(exec) ? cuda::GemmWorkspaceBytes(exec, args) : cpu::GemmWorkspaceBytes(exec, args);
}

void PrepareGemm(const Exec& exec, const GemmArgs& args) {
  IsCuda(exec) ? cuda::PrepareGemm(exec, args) : cpu::PrepareGemm(exec, args);
}

bool GemmHasNativeBf16(const Exec& exec) { return IsCuda(exec) || cpu::GemmHasNativeBf16(); }

void CrossEntropy(const Exec& exec, const CrossEntropyArgs& args) {
  IsCuda(exec) ? cuda::CrossEntropy(exec, args) : cpu::CrossEntropy(exec, args);
}

void CrossEntropyEvaluate(const Exec& exec, const CrossEntropyEvaluateArgs& args) {
  IsCuda(exec) ? cuda::CrossEntropyEvaluate(exec, args) : cpu::CrossEntropyEvaluate(exec, args);
}

std::int64_t CrossEntropyWorkspaceBytes(const Exec& exec, std::int64_t vocabulary,
                                        std::int64_t hidden_size, DType dtype) {
  return IsCuda(exec) ? cuda::CrossEntropyWorkspaceBytes(exec, vocabulary, hidden_size, dtype)
                      : cpu::CrossEntropyWorkspaceBytes(exec, vocabulary, hidden_size, dtype);
}

}  // namespace sequela
