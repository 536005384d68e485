// A training run without a model: a table with all kinds of pieces, gradients that are a formula of
// (step, microbatch, element), four microbatches a step dealt to whatever ranks there are.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "kernels/base/bf16.h"
#include "kernels/base/philox.h"
#include "runtime/gradient_buckets.h"
#include "runtime/parameter_table.h"
#include "runtime/sharded_optimizer.h"

namespace sequela::testing {

inline constexpr int kMicrobatches = 4;
// Two tiles: many buckets, whose shares are uneven or empty on four ranks.
inline constexpr std::int64_t kToyBucketBytes = 2 * kTileElements * 4;

inline ParameterTable ToyTable() {
  ParameterTable table;
  table.AddVector("norm.weight", 48);
  table.AddMatrix("q.weight", 48, 48);
  table.AddMatrix("k.weight", 24, 48, /*joined=*/true);
  table.AddMatrix("v.weight", 24, 48, /*joined=*/true);
  table.AddVector("q.bias", 7);
  table.AddVector("k.bias", 5, /*joined=*/true);
  table.AddMatrix("embedding.weight", 101, 48);
  return table;
}

inline float Noise(std::uint64_t purpose, std::int64_t step, std::int64_t index) {
  const PhiloxBlock block =
      Philox(MixBits(purpose), static_cast<std::uint64_t>(step), static_cast<std::uint64_t>(index));
  return UniformFloat(block[0]) - 0.5F;
}

inline float ToyInitial(int piece, std::int64_t element) { return Noise(77, piece, element); }
inline float ToyGradient(std::int64_t step, int microbatch, std::int64_t element) {
  return Noise(static_cast<std::uint64_t>(microbatch) + 1, step, element);
}
inline double ToyWeightSum(std::int64_t step, int microbatch) {
  return 3.0 + static_cast<double>((step + microbatch) % 3);
}

class ToyTraining {
 public:
  ToyTraining(Communicator& communicator, int zero_stage, DType dtype = DType::kFloat32)
      : communicator_(communicator),
        table(ToyTable()),
        buffers(table, dtype),
        buckets(buffers, communicator, zero_stage, kToyBucketBytes),
        optimizer(buffers, buckets.plan(), communicator,
                  {.weight_decay = 0.1, .clip_gradient_norm = 0.5}) {
    optimizer.Initialize([](int piece, std::span<float> values) {
      for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] = ToyInitial(piece, static_cast<std::int64_t>(i));
      }
    });
  }

  // This rank's un-normalised gradient sums; returns its weight sum.
  double Backward(std::int64_t step) {
    buffers.ZeroGradients();
    double weight_sum = 0;
    for (int k = communicator_.rank(); k < kMicrobatches; k += communicator_.size()) {
      weight_sum += ToyWeightSum(step, k);
      for (const ParameterPiece& piece : table.pieces()) {
        for (std::int64_t i = piece.offset; i < piece.end(); ++i) {
          buffers.gradients()[static_cast<std::size_t>(i)] += ToyGradient(step, k, i);
        }
      }
    }
    return weight_sum;
  }

  // One step; `bit_by_bit` lets the buckets leave as their pieces get ready.
  UpdateResult Step(std::int64_t step, bool bit_by_bit = true) {
    const double weight_sum = Backward(step);
    buckets.Begin(step);
    for (int piece = 0; bit_by_bit && piece <= table.num_pieces(); ++piece) {
      buckets.MarkReady(piece);
      buckets.Poll();
    }
    const double total = buckets.Finish(weight_sum);
    return optimizer.Update(Exec{}, 0.01, total);
  }

  // All parameters as this rank reads them.
  std::vector<float> Parameters() {
    std::vector<float> values;
    for (int i = 0; i < table.num_pieces(); ++i) {
      const TensorView view = table.piece(i).num_dims == 1 ? buffers.Vector(i) : buffers.Weight(i);
      for (std::int64_t j = 0; j < table.piece(i).size(); ++j) {
        values.push_back(view.dtype == DType::kFloat32 ? view.As<float>()[j]
                                                       : ToFloat(view.As<bf16>()[j]));
      }
    }
    return values;
  }

 private:
  Communicator& communicator_;

 public:
  ParameterTable table;
  FlatBuffers buffers;
  GradientBuckets buckets;
  ShardedOptimizer optimizer;
};

inline double MaxDifference(const std::vector<float>& a, const std::vector<float>& b) {
  double worst = a.size() == b.size() ? 0 : INFINITY;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    const double difference = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    worst = std::isnan(difference) ? INFINITY : std::max(worst, difference);
  }
  return worst;
}

}  // namespace sequela::testing
