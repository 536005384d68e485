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
  ToyTraining(Communicator& communicator, int zero_stage, DType dtype = DType::kFloat32,
              Device& device = HostDevice())
      : communicator_(communicator),
        table(ToyTable()),
        buffers(table, dtype, /*with_gradients=*/true, device),
        buckets(buffers, communicator, zero_stage, kToyBucketBytes),
        optimizer(buffers, buckets.plan(), communicator,
                  {.weight_decay = 0.1, .clip_gradient_norm = 0.5}) {
    optimizer.Initialize([](int piece, std::span<float> values) {
      for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] = ToyInitial(piece, static_cast<std::int64_t>(i));
      }
    });
  }

  // Adds this rank's un-normalised gradients of a step, its share of the microbatches one after the
  // other, and returns its weight sum; Finish is still to come. `bit_by_bit` lets the buckets leave
  // as their pieces get ready.
  double Backward(std::int64_t step, bool bit_by_bit = true) {
    double weight_sum = 0;
    const int ranks = communicator_.size();
    const int count = (kMicrobatches - communicator_.rank() + ranks - 1) / ranks;
    const std::int64_t rounds = buckets.Begin(step, count);
    for (std::int64_t i = 0; i < rounds; ++i) {
      if (i < count) {
        const int k = communicator_.rank() + static_cast<int>(i) * ranks;
        weight_sum += ToyWeightSum(step, k);
        AddGradients(step, k);
        for (int piece = 0; bit_by_bit && piece <= table.num_pieces(); ++piece) {
          buckets.MarkReady(piece);
          buckets.Poll();
        }
      }
      buckets.EndMicrobatch();
    }
    return weight_sum;
  }

  void AddGradients(std::int64_t step, int microbatch) {
    std::vector<float> values;
    for (int i = 0; i < table.num_pieces(); ++i) {
      const ParameterPiece& piece = table.piece(i);
      values.resize(static_cast<std::size_t>(piece.size()));
      buffers.ReadGradient(i, values);
      for (std::int64_t j = 0; j < piece.size(); ++j) {
        values[static_cast<std::size_t>(j)] += ToyGradient(step, microbatch, piece.offset + j);
      }
      buffers.device().Copy(buffers.Gradient(i).data, values.data(),
                            piece.size() * SizeOf(DType::kFloat32));
    }
  }

  UpdateResult Step(std::int64_t step, bool bit_by_bit = true) {
    const double weight_sum = Backward(step, bit_by_bit);
    const double total = buckets.Finish(weight_sum);
    return optimizer.Update(ExecOn(buffers.device()), 0.01, total);
  }

  // All parameters as this rank reads them.
  std::vector<float> Parameters() {
    std::vector<float> values;
    std::vector<float> piece;
    for (int i = 0; i < table.num_pieces(); ++i) {
      piece.resize(static_cast<std::size_t>(table.piece(i).size()));
      buffers.ReadPiece(i, piece);
      values.insert(values.end(), piece.begin(), piece.end());
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
