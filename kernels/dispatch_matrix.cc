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
void CheckAttention(const Exec& exec, const Args& args) {
  const AttentionShape& shape = args.shape;
  SEQUELA_CHECK(shape.num_key_heads > 0 && shape.num_query_heads % shape.num_key_heads == 0,
                "{} query heads, {} key heads", shape.num_query_heads, shape.num_key_heads);
  SEQUELA_CHECK(shape.head_size > 0 && shape.head_size % 8 == 0 && shape.head_size <= 256,
                "head size {}", shape.head_size);
  SEQUELA_CHECK(args.softmax_scale > 0.0F && args.dropout.probability >= 0.0F &&
                args.dropout.probability < 1.0F);
  SEQUELA_CHECK(args.plan != nullptr && args.plan->num_tokens() == args.q_TNH.rows);
  SEQUELA_CHECK(!IsCuda(exec) || args.plan_image != nullptr);
  const DType dtype = args.q_TNH.dtype;
  SEQUELA_CHECK(dtype == DType::kFloat32 || dtype == DType::kBFloat16);
  const std::int64_t tokens = args.q_TNH.rows;
  CheckMatrix(args.q_TNH, tokens, shape.num_query_heads * shape.head_size, dtype);
  CheckMatrix(args.k_TGH, tokens, shape.num_key_heads * shape.head_size, dtype);
  CheckMatrix(args.v_TGH, tokens, shape.num_key_heads * shape.head_size, dtype);
  CheckMatrix(args.out_TNH, tokens, shape.num_query_heads * shape.head_size, dtype);
  CheckMatrix(args.lse_TN, tokens, shape.num_query_heads, DType::kFloat32);
}

void CheckGemm(const GemmArgs& args) {
  const std::int64_t a_rows = args.transpose_a ? args.a.columns : args.a.rows;
  const std::int64_t a_columns = args.transpose_a ? args.a.rows : args.a.columns;
  const std::int64_t b_rows = args.transpose_b ? args.b.columns : args.b.rows;
  const std::int64_t b_columns = args.transpose_b ? args.b.rows : args.b.columns;
  SEQUELA_CHECK(a_rows == args.c.rows && b_columns == args.c.columns && a_columns == b_rows,
                "[{}, {}] times [{}, {}] into [{}, {}]", a_rows, a_columns, b_rows, b_columns,
                args.c.rows, args.c.columns);
  const bool floats = args.a.dtype == DType::kFloat32;
  SEQUELA_CHECK(floats || args.a.dtype == DType::kBFloat16);
  SEQUELA_CHECK(args.b.dtype == args.a.dtype && !(args.transpose_a && args.transpose_b));
  const bool fp32_out = args.c.dtype == DType::kFloat32;
  SEQUELA_CHECK(fp32_out ||
                (args.c.dtype == args.a.dtype && !args.accumulate && !args.transpose_a));
}

void CheckSize(std::int64_t size, std::int64_t wanted, bool may_be_empty) {
  SEQUELA_CHECK(size == wanted || (may_be_empty && size == 0), "{} numbers where {} are wanted",
                size, wanted);
}

// What training and evaluation ask alike.
template <typename Args>
void CheckCrossEntropy(const Exec& exec, const Args& args) {
  const DType dtype = args.hidden_TD.dtype;
  SEQUELA_CHECK(dtype == DType::kFloat32 || dtype == DType::kBFloat16);
  const std::int64_t vocabulary = args.weight_VD.rows;
  CheckMatrix(args.weight_VD, vocabulary, args.hidden_TD.columns, dtype);
  CheckSize(std::ssize(args.target), args.hidden_TD.rows, false);
  CheckSize(std::ssize(args.nll), args.hidden_TD.rows, false);
  if (!IsCuda(exec)) return;
  SEQUELA_CHECK(args.plan != nullptr && args.plan->num_tokens() == args.hidden_TD.rows &&
                    args.plan->vocabulary() == vocabulary,
                "the plan is of another batch");
  SEQUELA_CHECK(args.plan_image != nullptr || args.plan->rows().empty());
}

}  // namespace

void AttentionForward(const Exec& exec, const AttentionForwardArgs& args) {
  CheckAttention(exec, args);
  IsCuda(exec) ? cuda::AttentionForward(exec, args) : cpu::AttentionForward(exec, args);
}

std::int64_t AttentionForwardWorkspaceBytes(const Exec& exec, const AttentionShape& shape) {
  return IsCuda(exec) ? cuda::AttentionForwardWorkspaceBytes(exec, shape)
                      : cpu::AttentionForwardWorkspaceBytes(exec, shape);
}

void AttentionBackward(const Exec& exec, const AttentionBackwardArgs& args) {
  CheckAttention(exec, args);
  const DType dtype = args.q_TNH.dtype;
  CheckMatrix(args.dout_TNH, args.q_TNH.rows, args.q_TNH.columns, dtype);
  CheckMatrix(args.dq_TNH, args.q_TNH.rows, args.q_TNH.columns, dtype);
  CheckMatrix(args.dk_TGH, args.k_TGH.rows, args.k_TGH.columns, dtype);
  CheckMatrix(args.dv_TGH, args.v_TGH.rows, args.v_TGH.columns, dtype);
  IsCuda(exec) ? cuda::AttentionBackward(exec, args) : cpu::AttentionBackward(exec, args);
}

std::int64_t AttentionBackwardWorkspaceBytes(const Exec& exec, const AttentionShape& shape,
                                             std::int64_t tokens, std::int64_t longest_document) {
  return IsCuda(exec) ? cuda::AttentionBackwardWorkspaceBytes(exec, shape, tokens)
                      : cpu::AttentionBackwardWorkspaceBytes(exec, shape, longest_document);
}

void Gemm(const Exec& exec, const GemmArgs& args) {
  CheckGemm(args);
  IsCuda(exec) ? cuda::Gemm(exec, args) : cpu::Gemm(exec, args);
}

std::int64_t GemmWorkspaceBytes(const Exec& exec, const GemmArgs& args) {
  CheckGemm(args);
  return IsCuda(exec) ? cuda::GemmWorkspaceBytes(exec, args) : cpu::GemmWorkspaceBytes(exec, args);
}

void PrepareGemm(const Exec& exec, const GemmArgs& args) {
  CheckGemm(args);
  IsCuda(exec) ? cuda::PrepareGemm(exec, args) : cpu::PrepareGemm(exec, args);
}

bool GemmHasNativeBf16(const Exec& exec) { return IsCuda(exec) || cpu::GemmHasNativeBf16(); }

void CrossEntropy(const Exec& exec, const CrossEntropyArgs& args) {
  CheckCrossEntropy(exec, args);
  const std::int64_t tokens = args.hidden_TD.rows;
  CheckSize(std::ssize(args.loss_weight), tokens, true);
  CheckMatrix(args.dhidden_TD, tokens, args.hidden_TD.columns, args.hidden_TD.dtype);
  CheckMatrix(args.dweight_VD, args.weight_VD.rows, args.weight_VD.columns, DType::kFloat32);
  IsCuda(exec) ? cuda::CrossEntropy(exec, args) : cpu::CrossEntropy(exec, args);
}

void CrossEntropyEvaluate(const Exec& exec, const CrossEntropyEvaluateArgs& args) {
  CheckCrossEntropy(exec, args);
  const std::int64_t tokens = args.hidden_TD.rows;
  const std::int64_t vocabulary = args.weight_VD.rows;
  CheckSize(std::ssize(args.corrected_nll), tokens, true);
  CheckSize(std::ssize(args.group_nll), tokens, true);
  CheckSize(std::ssize(args.rank), tokens, true);
  CheckSize(std::ssize(args.log_class_weight), vocabulary, args.corrected_nll.empty());
  CheckSize(std::ssize(args.group_of_token), vocabulary, args.group_nll.empty());
  IsCuda(exec) ? cuda::CrossEntropyEvaluate(exec, args) : cpu::CrossEntropyEvaluate(exec, args);
}

std::int64_t CrossEntropyWorkspaceBytes(const Exec& exec, std::int64_t vocabulary,
                                        std::int64_t hidden_size, DType dtype) {
  return IsCuda(exec) ? cuda::CrossEntropyWorkspaceBytes(exec, vocabulary, hidden_size, dtype)
                      : cpu::CrossEntropyWorkspaceBytes(exec, vocabulary, hidden_size, dtype);
}

}  // namespace sequela
