#include "trainer/model/batch_input.h"

#include <cstring>

#include "kernels/base/check.h"
#include "kernels/base/int_math.h"

namespace sequela {
namespace {

constexpr std::int64_t kAlignment = 256;

TimeRopeSettings RopeSettings(const ModelConfig& config) {
  return {.head_dim = config.head_dim,
          .theta = config.rope_theta,
          .num_time_pairs = config.num_time_pairs(),
          .min_period_seconds = config.rope_time_min_period_seconds,
          .max_period_years = config.rope_time_max_period_years};
}

std::int64_t TableBytes(std::int64_t tokens, std::int64_t head_dim) {
  return tokens * (head_dim / 2) * SizeOf(DType::kFloat32);
}

// Cuts a slot of the staging memory into aligned pieces, host and device side alike.
class Pieces {
 public:
  Pieces(std::span<std::byte> host, std::byte* device) : host_(host), device_(device) {}

  // Room for `bytes`: where the host writes, and where the device will read.
  struct Piece {
    std::span<std::byte> host;
    std::byte* device;
  };
  Piece Take(std::int64_t bytes) {
    const std::int64_t begin = used_;
    used_ += RoundUp(bytes, kAlignment);
    SEQUELA_CHECK(used_ <= std::ssize(host_), "staging of {} bytes, wanted {}", host_.size(),
                  used_);
    return {host_.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(bytes)),
            device_ + begin};
  }
  // A copy of `values`: the device's.
  template <typename T>
  std::span<const T> Copy(const std::vector<T>& values) {
    const auto bytes = static_cast<std::int64_t>(values.size() * sizeof(T));
    const Piece piece = Take(bytes);
    if (bytes > 0) std::memcpy(piece.host.data(), values.data(), piece.host.size());
    return {reinterpret_cast<const T*>(piece.device), values.size()};
  }
  // A plan's image: the device's.
  template <typename Plan>
  const std::byte* Image(const Plan& plan) {
    const Piece piece = Take(plan.ImageBytes());
    plan.WriteImage(piece.host);
    return piece.device;
  }
  std::int64_t used_bytes() const { return used_; }

 private:
  std::span<std::byte> host_;
  std::byte* device_;
  std::int64_t used_ = 0;
};

}  // namespace

BatchInput::BatchInput(const ModelConfig& config, const DecoderOptions& options, Device& device)
    : device_(device),
      max_tokens_(options.max_tokens),
      host_exec_{.num_threads = options.num_threads},
      vocab_size_(config.vocab_size),
      with_backward_(options.with_backward),
      rope_(RopeSettings(config)) {
  if (with_backward_) embedding_plan_.Reserve(max_tokens_, vocab_size_);
  if (device_.is_host()) return;
  head_plan_.Reserve(max_tokens_);
  staging_.emplace(device_, StagingBytes());
}

std::int64_t BatchInput::StagingBytes() const {
  // Loaders make no document without a token; tests make a few.
  const std::int64_t max_documents = max_tokens_ + 256;
  const std::int64_t token_bytes = 4 * sizeof(std::int32_t);  // token, target, weight, position
  const std::int64_t document_bytes = sizeof(std::int32_t) + sizeof(std::int64_t);
  constexpr std::int64_t kPieces = 11;
  return max_tokens_ * token_bytes + max_documents * document_bytes +
         2 * TableBytes(max_tokens_, rope_.head_dim) +
         AttentionPlan::ImageBytesBound(max_tokens_, max_documents) +
         EmbeddingPlan::ImageBytesBound(max_tokens_) +
         CrossEntropyPlan::ImageBytesBound(max_tokens_) + kPieces * kAlignment;
}

void BatchInput::Prepare(const Batch& batch, TensorView& rope_cos, TensorView& rope_sin) {
  attention_plan_ = AttentionPlan::Causal(batch.document_begin, batch.sample);
  if (with_backward_) embedding_plan_.Build(batch.token, vocab_size_);
  if (!device_.is_host()) {
    Stage(batch, rope_cos, rope_sin);
    return;
  }
  view_ = ViewOf(batch);
  BuildTimeRopeTable(host_exec_, rope_,
                     {.position = batch.position,
                      .time_us = batch.time_us,
                      .document_begin = batch.document_begin,
                      .cos_TP = rope_cos,
                      .sin_TP = rope_sin});
}

void BatchInput::Stage(const Batch& batch, TensorView& rope_cos, TensorView& rope_sin) {
  head_plan_.Build(batch.target, vocab_size_);
  slot_ = (slot_ + 1) % Staging::kSlots;
  Pieces pieces(staging_->Begin(slot_), staging_->DeviceBlock(slot_));
  view_.token = pieces.Copy(batch.token);
  view_.target = pieces.Copy(batch.target);
  view_.weight = pieces.Copy(batch.weight);
  view_.position = pieces.Copy(batch.position);
  view_.document_begin = pieces.Copy(batch.document_begin);
  view_.sample = pieces.Copy(batch.sample);
  view_.attention_plan = pieces.Image(attention_plan_);
  if (with_backward_) view_.embedding_plan = pieces.Image(embedding_plan_);
  view_.head_plan = pieces.Image(head_plan_);
  const std::int64_t pairs = rope_.head_dim / 2;
  const auto cos = pieces.Take(TableBytes(batch.num_tokens(), rope_.head_dim));
  const auto sin = pieces.Take(TableBytes(batch.num_tokens(), rope_.head_dim));
  BuildTimeRopeTable(host_exec_, rope_,
                     {.position = batch.position,
                      .time_us = batch.time_us,
                      .document_begin = batch.document_begin,
                      .cos_TP = {cos.host.data(), DType::kFloat32, batch.num_tokens(), pairs},
                      .sin_TP = {sin.host.data(), DType::kFloat32, batch.num_tokens(), pairs}});
  rope_cos = {cos.device, DType::kFloat32, batch.num_tokens(), pairs};
  rope_sin = {sin.device, DType::kFloat32, batch.num_tokens(), pairs};
  staging_->Upload(slot_, pieces.used_bytes());
  staging_->Ready(slot_);
}

void BatchInput::Release() {
  if (staging_) staging_->Release(slot_);
}

}  // namespace sequela
