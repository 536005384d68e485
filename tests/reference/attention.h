// Attention as the textbook has it, one row and one key after another.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "kernels/base/bf16.h"
#include "tests/reference/matrix.h"

namespace sequela::reference {

// Who sees whom, and what dropout keeps: `keep` is empty or [head][row][key] factors.
struct AttentionRules {
  std::int64_t query_heads = 1;
  std::int64_t key_heads = 1;
  double scale = 1.0;
  std::vector<std::int32_t> kv_begin, kv_end;
  std::vector<Matrix<double>> keep;
  // Probabilities and score gradients are rounded to bf16 where they multiply vectors: the rounding
  // points of tensor cores.
  bool round_weights = false;

  std::int64_t KeyHead(std::int64_t head) const { return head / (query_heads / key_heads); }
  double Keep(std::int64_t head, std::int64_t row, std::int64_t key) const {
    return keep.empty() ? 1.0 : keep[static_cast<std::size_t>(head)](row, key);
  }
  template <typename Real>
  Real Weight(Real value) const {
    return round_weights ? static_cast<Real>(ToFloat(ToBf16(static_cast<float>(value)))) : value;
  }
};

template <typename Real>
struct AttentionInput {
  Matrix<Real> q, k, v;  // [T, heads * H]
  template <typename Other>
  AttentionInput<Other> As() const {
    return {q.template As<Other>(), k.template As<Other>(), v.template As<Other>()};
  }
};

template <typename Real>
struct AttentionOutput {
  Matrix<Real> out, lse;
};

template <typename Real>
struct AttentionGradients {
  Matrix<Real> dq, dk, dv;
};

namespace attention_detail {

// Dot product of H channels of two rows.
template <typename Real>
Real Dot(const Matrix<Real>& a, std::int64_t a_row, std::int64_t a_head, const Matrix<Real>& b,
         std::int64_t b_row, std::int64_t b_head, std::int64_t size) {
  Real sum{0};
  for (std::int64_t h = 0; h < size; ++h) {
    sum += a(a_row, a_head * size + h) * b(b_row, b_head * size + h);
  }
  return sum;
}

}  // namespace attention_detail

template <typename Real>
AttentionOutput<Real> Attention(const AttentionRules& rules, const AttentionInput<Real>& in) {
  const std::int64_t size = in.q.columns / rules.query_heads;
  AttentionOutput<Real> result{Matrix<Real>(in.q.rows, in.q.columns),
                               Matrix<Real>(in.q.rows, rules.query_heads)};
  for (std::int64_t row = 0; row < in.q.rows; ++row) {
    const std::int64_t begin = rules.kv_begin[static_cast<std::size_t>(row)];
    const std::int64_t end = rules.kv_end[static_cast<std::size_t>(row)];
    for (std::int64_t head = 0; head < rules.query_heads; ++head) {
      const std::int64_t key_head = rules.KeyHead(head);
      std::vector<Real> scores;
      Real max = -std::numeric_limits<Real>::infinity();
      for (std::int64_t key = begin; key < end; ++key) {
        scores.push_back(static_cast<Real>(rules.scale) *
                         attention_detail::Dot(in.q, row, head, in.k, key, key_head, size));
        max = std::max(max, scores.back());
      }
      Real sum{0};
      for (const Real score : scores) sum += std::exp(score - max);
      result.lse(row, head) = begin < end ? max + std::log(sum) : max;
      for (std::int64_t key = begin; key < end; ++key) {
        const Real weight =
            rules.Weight(std::exp(scores[static_cast<std::size_t>(key - begin)] - max));
        const Real p = weight / sum * static_cast<Real>(rules.Keep(head, row, key));
        for (std::int64_t h = 0; h < size; ++h) {
          result.out(row, head * size + h) += p * in.v(key, key_head * size + h);
        }
      }
    }
  }
  return result;
}

// `forward` as it was stored.
template <typename Real>
AttentionGradients<Real> AttentionBackward(const AttentionRules& rules,
                                           const AttentionInput<Real>& in,
                                           const AttentionOutput<Real>& forward,
                                           const Matrix<Real>& dout) {
  using attention_detail::Dot;
  const std::int64_t size = in.q.columns / rules.query_heads;
  const auto scale = static_cast<Real>(rules.scale);
  AttentionGradients<Real> g{Matrix<Real>(in.q.rows, in.q.columns),
                             Matrix<Real>(in.k.rows, in.k.columns),
                             Matrix<Real>(in.v.rows, in.v.columns)};
  for (std::int64_t row = 0; row < in.q.rows; ++row) {
    for (std::int64_t head = 0; head < rules.query_heads; ++head) {
      const std::int64_t key_head = rules.KeyHead(head);
      const Real delta = Dot(forward.out, row, head, dout, row, head, size);
      for (std::int64_t key = rules.kv_begin[static_cast<std::size_t>(row)];
           key < rules.kv_end[static_cast<std::size_t>(row)]; ++key) {
        const Real p = std::exp(scale * Dot(in.q, row, head, in.k, key, key_head, size) -
                                forward.lse(row, head));
        const auto keep = static_cast<Real>(rules.Keep(head, row, key));
        const Real dp = keep * Dot(dout, row, head, in.v, key, key_head, size);
        const Real ds = rules.Weight(p * (dp - delta)) * scale;
        const Real weight = rules.Weight(p * keep);
        for (std::int64_t h = 0; h < size; ++h) {
          const std::int64_t qh = head * size + h, kh = key_head * size + h;
          g.dq(row, qh) += ds * in.k(key, kh);
          g.dk(key, kh) += ds * in.q(row, qh);
          g.dv(key, kh) += weight * dout(row, qh);
        }
      }
    }
  }
  return g;
}

}  // namespace sequela::reference
