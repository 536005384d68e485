#include "tests/reference/decoder_reference.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "tests/testing/tiny_model.h"

namespace sequela::reference {
namespace {

// One document on its way through the model.
template <typename Real>
class DocumentPass {
 public:
  DocumentPass(const DecoderReference<Real>& model, const Batch& batch, std::int64_t begin,
               std::int64_t end)
      : model_(model), config_(model.config), batch_(batch), begin_(begin), rows_(end - begin) {}

  Matrix<Real> Logits() {
    Matrix<Real> x = Embedded();
    for (int layer = 0; layer < config_.num_hidden_layers; ++layer) {
      const std::string prefix = fmt::format("model.layers.{}.", layer);
      AddTo(x, Attention(Norm(x, prefix + "input_layernorm.weight"), prefix + "self_attn."));
      AddTo(x, Mlp(Norm(x, prefix + "post_attention_layernorm.weight"), prefix + "mlp."));
    }
    const Matrix<Real> head =
        config_.tie_word_embeddings ? P("model.embed_tokens.weight") : P("lm_head.weight");
    return Product(Norm(x, "model.norm.weight"), head);
  }

 private:
  const Matrix<Real>& P(const std::string& name) const { return model_.parameters.at(name); }
  Real Stored(Real value) const { return model_.store ? model_.store(value) : value; }
  void Store(Matrix<Real>& x) const {
    for (Real& value : x.values) value = Stored(value);
  }
  void AddTo(Matrix<Real>& x, const Matrix<Real>& branch) const {
    for (std::size_t i = 0; i < x.values.size(); ++i) {
      x.values[i] = Stored(x.values[i] + branch.values[i]);
    }
  }

  Matrix<Real> Embedded() const {
    const Matrix<Real>& table = P("model.embed_tokens.weight");
    Matrix<Real> x(rows_, config_.hidden_size);
    for (std::int64_t t = 0; t < rows_; ++t) {
      const std::int32_t token = batch_.token[static_cast<std::size_t>(begin_ + t)];
      for (std::int64_t c = 0; c < x.columns; ++c) x(t, c) = table(token, c);
    }
    return x;
  }

  // x W^T, not stored yet.
  static Matrix<Real> Product(const Matrix<Real>& x, const Matrix<Real>& weight) {
    Matrix<Real> y(x.rows, weight.rows);
    for (std::int64_t t = 0; t < x.rows; ++t) {
      for (std::int64_t o = 0; o < weight.rows; ++o) {
        for (std::int64_t i = 0; i < weight.columns; ++i) y(t, o) += x(t, i) * weight(o, i);
      }
    }
    return y;
  }

  Matrix<Real> Linear(const Matrix<Real>& x, const std::string& name) const {
    Matrix<Real> y = Product(x, P(name + ".weight"));
    Store(y);
    const auto bias = model_.parameters.find(name + ".bias");
    if (bias != model_.parameters.end()) {
      for (std::int64_t t = 0; t < y.rows; ++t) {
        for (std::int64_t o = 0; o < y.columns; ++o) y(t, o) += bias->second(0, o);
      }
      Store(y);
    }
    return y;
  }

  // RMSNorm of every group of gain.columns channels.
  Matrix<Real> Norm(const Matrix<Real>& x, const std::string& gain_name) const {
    const Matrix<Real>& gain = P(gain_name);
    const std::int64_t size = gain.columns;
    Matrix<Real> y(x.rows, x.columns);
    for (std::int64_t t = 0; t < x.rows; ++t) {
      for (std::int64_t group = 0; group < x.columns; group += size) {
        Real squares = 0;
        for (std::int64_t c = 0; c < size; ++c) squares += x(t, group + c) * x(t, group + c);
        const Real scale = Real{1} / std::sqrt(squares / static_cast<Real>(size) +
                                               static_cast<Real>(config_.rms_norm_eps));
        for (std::int64_t c = 0; c < size; ++c) {
          y(t, group + c) = Stored(x(t, group + c) * scale * gain(0, c));
        }
      }
    }
    return y;
  }

  double Angle(std::int64_t row, std::int64_t pair) const {
    const auto at = static_cast<std::size_t>(begin_ + row);
    const std::int64_t index_pairs = config_.head_dim / 2 - config_.num_time_pairs();
    if (pair < index_pairs) {
      return batch_.position[at] *
             std::pow(config_.rope_theta, -2.0 * static_cast<double>(pair) / config_.head_dim);
    }
    const double shortest = config_.rope_time_min_period_seconds;
    const double longest = config_.rope_time_max_period_years * 365.25 * 86400.0;
    const double share = static_cast<double>(pair - index_pairs) / (config_.num_time_pairs() - 1);
    const double period = shortest * std::pow(longest / shortest, share);
    const auto elapsed_us = batch_.time_us[at] - batch_.time_us[static_cast<std::size_t>(begin_)];
    return 2.0 * std::numbers::pi * std::fmod(static_cast<double>(elapsed_us) / 1e6 / period, 1.0);
  }

  void Rotate(Matrix<Real>& x) const {
    const std::int64_t half = config_.head_dim / 2;
    for (std::int64_t t = 0; t < x.rows; ++t) {
      for (std::int64_t head = 0; head < x.columns; head += config_.head_dim) {
        for (std::int64_t i = 0; i < half; ++i) {
          const Real a = x(t, head + i);
          const Real b = x(t, head + half + i);
          const auto cosine = static_cast<Real>(std::cos(Angle(t, i)));
          const auto sine = static_cast<Real>(std::sin(Angle(t, i)));
          x(t, head + i) = Stored(a * cosine - b * sine);
          x(t, head + half + i) = Stored(b * cosine + a * sine);
        }
      }
    }
  }

  Matrix<Real> Attention(const Matrix<Real>& x, const std::string& prefix) const {
    Matrix<Real> q = Linear(x, prefix + "q_proj");
    Matrix<Real> k = Linear(x, prefix + "k_proj");
    const Matrix<Real> v = Linear(x, prefix + "v_proj");
    if (config_.qk_norm) {
      q = Norm(q, prefix + "q_norm.weight");
      k = Norm(k, prefix + "k_norm.weight");
    }
    Rotate(q);
    Rotate(k);
    Matrix<Real> out(x.rows, q.columns);
    for (int head = 0; head < config_.num_attention_heads; ++head) AttendHead(q, k, v, head, out);
    Store(out);
    return Linear(out, prefix + "o_proj");
  }

  void AttendHead(const Matrix<Real>& q, const Matrix<Real>& k, const Matrix<Real>& v, int head,
                  Matrix<Real>& out) const {
    const std::int64_t size = config_.head_dim;
    const std::int64_t at = head * size;
    const std::int64_t shared = config_.num_attention_heads / config_.num_key_value_heads;
    const std::int64_t key_at = head / shared * size;
    const Real scale = Real{1} / std::sqrt(static_cast<Real>(size));
    for (std::int64_t t = 0; t < q.rows; ++t) {
      std::vector<Real> score(static_cast<std::size_t>(t + 1), Real{0});
      for (std::int64_t j = 0; j <= t; ++j) {
        Real& s = score[static_cast<std::size_t>(j)];
        for (std::int64_t c = 0; c < size; ++c) s += q(t, at + c) * k(j, key_at + c);
        s *= scale;
      }
      const Real largest = *std::max_element(score.begin(), score.end());
      Real sum = 0;
      for (Real& s : score) sum += s = std::exp(s - largest);
      for (std::int64_t j = 0; j <= t; ++j) {
        const Real p = score[static_cast<std::size_t>(j)] / sum;
        for (std::int64_t c = 0; c < size; ++c) out(t, at + c) += p * v(j, key_at + c);
      }
    }
  }

  Matrix<Real> Mlp(const Matrix<Real>& x, const std::string& prefix) const {
    Matrix<Real> gate = Linear(x, prefix + "gate_proj");
    const Matrix<Real> up = Linear(x, prefix + "up_proj");
    for (std::size_t i = 0; i < gate.values.size(); ++i) {
      const Real g = gate.values[i];
      gate.values[i] = Stored(g / (Real{1} + std::exp(-g)) * up.values[i]);
    }
    return Linear(gate, prefix + "down_proj");
  }

  const DecoderReference<Real>& model_;
  const ModelConfig& config_;
  const Batch& batch_;
  std::int64_t begin_;
  std::int64_t rows_;
};

}  // namespace

Parameters<double> ParametersOf(FlatBuffers& buffers) {
  Parameters<double> parameters;
  for (int i = 0; i < buffers.table().num_pieces(); ++i) {
    const ParameterPiece& piece = buffers.table().piece(i);
    Matrix<double> values(piece.rows, piece.columns);
    values.values = VectorAs<double>(testing::PieceValues(buffers, i));
    parameters[piece.name] = values;
  }
  return parameters;
}

template <typename Real>
Matrix<Real> DecoderReference<Real>::Logits(const Batch& batch) const {
  Matrix<Real> logits(batch.num_tokens(), config.vocab_size);
  for (std::int64_t document = 0; document < batch.num_documents(); ++document) {
    const std::int64_t begin = batch.document_begin[static_cast<std::size_t>(document)];
    const std::int64_t end = batch.document_begin[static_cast<std::size_t>(document) + 1];
    const Matrix<Real> own = DocumentPass<Real>(*this, batch, begin, end).Logits();
    std::copy(own.values.begin(), own.values.end(), logits.values.begin() + begin * logits.columns);
  }
  return logits;
}

template <typename Real>
std::vector<Real> DecoderReference<Real>::Nll(const Batch& batch) const {
  const Matrix<Real> logits = Logits(batch);
  std::vector<Real> nll(batch.token.size(), Real{0});
  for (std::int64_t t = 0; t < logits.rows; ++t) {
    const std::int32_t target = batch.target[static_cast<std::size_t>(t)];
    if (target == Batch::kNoTarget) continue;
    Real largest = logits(t, 0);
    for (std::int64_t c = 1; c < logits.columns; ++c) largest = std::max(largest, logits(t, c));
    Real sum = 0;
    for (std::int64_t c = 0; c < logits.columns; ++c) sum += std::exp(logits(t, c) - largest);
    nll[static_cast<std::size_t>(t)] = std::log(sum) + largest - logits(t, target);
  }
  return nll;
}

template <typename Real>
Real DecoderReference<Real>::Loss(const Batch& batch) const {
  const std::vector<Real> nll = Nll(batch);
  Real loss = 0;
  for (std::size_t t = 0; t < nll.size(); ++t) {
    loss += static_cast<Real>(batch.weight[t]) * nll[t];
  }
  return loss;
}

template struct DecoderReference<double>;
template struct DecoderReference<float>;

}  // namespace sequela::reference
