#include "tests/testing/cuda/textbook_attention.h"

#include <cstddef>
#include <string_view>

#include "kernels/base/bf16.h"
#include "kernels/base/check.h"
#include "kernels/base/int_math.h"
#include "kernels/cuda/attention_kernels.h"
#include "kernels/cuda/launch_interface.h"
#include "tests/ptx/interpreter/interpreter.h"
#include "tests/reference/attention.h"

namespace sequela::testing {
namespace {

using cuda::AttentionBackwardParams;
using cuda::AttentionForwardParams;
using cuda::AttentionInputs;
using cuda::Rows;
using reference::Matrix;

float Value(float value) { return value; }
float Value(bf16 value) { return ToFloat(value); }
void Set(float value, float& to) { to = value; }
void Set(float value, bf16& to) { to = ToBf16(value); }

template <typename T>
Matrix<float> Read(const Rows<const T>& from, std::int64_t rows, std::int64_t columns) {
  Matrix<float> matrix(rows, columns);
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < columns; ++c) matrix(r, c) = Value(from.data[r * from.stride + c]);
  }
  return matrix;
}

template <typename T>
void Write(const Matrix<float>& matrix, const Rows<T>& to) {
  for (std::int64_t r = 0; r < matrix.rows; ++r) {
    for (std::int64_t c = 0; c < matrix.columns; ++c) Set(matrix(r, c), to.data[r * to.stride + c]);
  }
}

// A kernel is not told how many tokens there are: the header before the image's first part is.
std::int64_t TokensOf(const AttentionDeviceView& plan) {
  constexpr std::int64_t kFirstPart =
      RoundUp(static_cast<std::int64_t>(sizeof(AttentionImageLayout)), 64);
  const auto* const layout = reinterpret_cast<const AttentionImageLayout*>(
      reinterpret_cast<const std::byte*>(plan.kv_begin) - kFirstPart);
  SEQUELA_CHECK(layout->kv_begin == kFirstPart, "not the begin of an image");
  return layout->num_tokens;
}

// What a launch is told, as the textbook takes it.
struct Textbook {
  reference::AttentionRules rules;
  reference::AttentionInput<float> input;

  explicit Textbook(const AttentionInputs<bf16>& in) {
    const std::int64_t tokens = TokensOf(in.plan);
    rules.query_heads = in.num_query_heads;
    rules.key_heads = in.num_query_heads / in.heads_per_key_head;
    rules.scale = static_cast<double>(in.softmax_scale);
    rules.kv_begin.assign(in.plan.kv_begin, in.plan.kv_begin + tokens);
    rules.kv_end.assign(in.plan.kv_end, in.plan.kv_end + tokens);
    rules.round_weights = true;
    const std::int64_t key_columns = rules.key_heads * in.head_size;
    input = {Read(in.q, tokens, rules.query_heads * in.head_size), Read(in.k, tokens, key_columns),
             Read(in.v, tokens, key_columns)};
  }
};

void Forward(const AttentionForwardParams<bf16>& p) {
  const Textbook textbook(p.in);
  const auto result = reference::Attention(textbook.rules, textbook.input);
  Write(result.out, p.out);
  Write(result.lse, p.lse);
}

reference::AttentionGradients<float> Backward(const AttentionBackwardParams<bf16>& p) {
  const Textbook textbook(p.in);
  const Matrix<float>& q = textbook.input.q;
  return reference::AttentionBackward(
      textbook.rules, textbook.input,
      {Read(p.out, q.rows, q.columns), Read(p.lse, q.rows, textbook.rules.query_heads)},
      Read(p.dout, q.rows, q.columns));
}

}  // namespace

void RunWithTextbookAttention(const cuda::KernelLaunch& launch) {
  const std::string_view name = launch.name;
  const auto* const backward = static_cast<const AttentionBackwardParams<bf16>*>(launch.parameters);
  if (name.starts_with("sequela_attention_forward_")) {
    Forward(*static_cast<const AttentionForwardParams<bf16>*>(launch.parameters));
  } else if (name.starts_with("sequela_attention_dq_")) {
    Write(Backward(*backward).dq, backward->dq);
  } else if (name.starts_with("sequela_attention_dkv_")) {
    const auto gradients = Backward(*backward);
    Write(gradients.dk, backward->dk);
    Write(gradients.dv, backward->dv);
  } else {
    ptx::Run(launch);
  }
}

ScopedTextbookAttention::ScopedTextbookAttention() : before_(cuda::CurrentLaunchInterface()) {
  SEQUELA_CHECK(before_.launch == &ptx::Run, "kernels are not interpreted here");
  cuda::TEST_SetLaunchInterface({.launch = RunWithTextbookAttention, .gemm = before_.gemm});
}

ScopedTextbookAttention::~ScopedTextbookAttention() { cuda::TEST_SetLaunchInterface(before_); }

}  // namespace sequela::testing
