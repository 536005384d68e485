#include "runtime/sharded_optimizer.h"

#include <algorithm>
#include <cmath>

#include "kernels/adamw.h"
#include "kernels/base/bf16.h"
#include "kernels/base/check.h"
#include "kernels/base/errors.h"
#include "kernels/base/int_math.h"
#include "kernels/elementwise.h"
#include "kernels/global_norm.h"
#include "runtime/step_timer.h"

namespace sequela {
namespace {

// Of the clipping formula; as torch.nn.utils.clip_grad_norm_.
constexpr double kNormEpsilon = 1e-6;

template <typename T>
std::span<T> Part(std::span<T> values, std::int64_t begin, std::int64_t count) {
  return values.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(count));
}

}  // namespace

ShardedOptimizer::ShardedOptimizer(FlatBuffers& buffers, const BucketPlan& plan,
                                   Communicator& communicator, const AdamWOptions& options)
    : buffers_(buffers),
      plan_(plan),
      communicator_(communicator),
      options_(options),
      shard_(plan.num_shards() == 1 ? 0 : communicator.rank()),
      runs_(plan.ShardRuns(shard_)),
      segments_(SegmentsOf(shard_)),
      tile_sums_read_(buffers.device()),
      shard_tile_({0}),
      vector_offsets_({0}) {
  SEQUELA_CHECK(plan.num_shards() == 1 || plan.num_shards() == communicator.size());
  const std::int64_t shard_bytes = plan.ShardElements(shard_) * SizeOf(DType::kFloat32);
  Device& device = buffers.device();
  m_ = Buffer(shard_bytes, device);
  v_ = Buffer(shard_bytes, device);
  if (has_master()) master_ = Buffer(shard_bytes, device);
  for (int shard = 0; shard < plan.num_shards(); ++shard) {
    shard_tile_.push_back(shard_tile_.back() + plan.ShardElements(shard) / kTileElements);
    std::vector<Segment>& vectors = vector_segments_.emplace_back();
    if (!has_master()) continue;
    const std::vector<Segment> segments = SegmentsOf(shard);
    std::int64_t bytes = 0;
    for (const Segment& segment : segments) {
      if (segment.matrix) continue;
      vectors.push_back(segment);
      bytes += segment.size() * SizeOf(DType::kFloat32);
    }
    vector_offsets_.push_back(vector_offsets_.back() + bytes);
  }
  if (plan.num_shards() > 1) vector_values_ = Buffer(vector_offsets_.back(), device);
  const std::int64_t sum_bytes = shard_tile_.back() * static_cast<std::int64_t>(sizeof(double));
  tile_sums_ = Buffer(sum_bytes, device);
  if (!device.is_host()) host_tile_sums_ = Buffer::Pinned(sum_bytes, device);
}

std::vector<ShardedOptimizer::Segment> ShardedOptimizer::SegmentsOf(int shard) const {
  const ParameterTable& table = buffers_.table();
  std::vector<Segment> segments;
  std::int64_t local = 0;
  for (int bucket = 0; bucket < plan_.num_buckets(); ++bucket) {
    const TileRun share = plan_.share(bucket, shard);
    for (std::int64_t at = share.begin; at < share.end;) {
      int piece = table.PieceAt(at);
      const bool matrix = table.piece(piece).num_dims > 1;
      while (piece + 1 < table.num_pieces() && (table.piece(piece + 1).num_dims > 1) == matrix) {
        ++piece;
      }
      const std::int64_t limit =
          piece + 1 < table.num_pieces() ? table.piece(piece + 1).offset : table.num_elements();
      const std::int64_t end = std::min(limit, share.end);
      segments.push_back({at, end, local, matrix});
      local += end - at;
      at = end;
    }
  }
  return segments;
}

void ShardedOptimizer::Initialize(
    const std::function<void(int piece, std::span<float> values)>& fill) {
  const ParameterTable& table = buffers_.table();
  std::vector<float> values;
  for (int i = 0; i < table.num_pieces(); ++i) {
    const ParameterPiece& piece = table.piece(i);
    values.assign(static_cast<std::size_t>(piece.size()), 0.0F);
    fill(i, values);
    buffers_.SetPiece(i, values);
    if (!has_master()) continue;
    for (const Segment& segment : segments_) {
      const std::int64_t begin = std::max(segment.begin, piece.offset);
      const std::int64_t end = std::min(segment.end, piece.end());
      if (begin >= end) continue;
      buffers_.device().Copy(master().data() + segment.local + (begin - segment.begin),
                             values.data() + (begin - piece.offset),
                             (end - begin) * SizeOf(DType::kFloat32));
    }
  }
  buffers_.device().Zero(m_.data(), m_.size_bytes());
  buffers_.device().Zero(v_.data(), v_.size_bytes());
  num_updates_ = 0;
}

UpdateResult ShardedOptimizer::Update(const Exec& exec, double learning_rate, double weight_sum) {
  SEQUELA_CHECK(exec.backend == buffers_.device().backend() &&
                exec.stream == buffers_.device().compute_stream());
  wait_seconds_ = 0;
  if (weight_sum == 0) return {.gradient_norm = 0, .skipped = true};
  const double norm = std::sqrt(SumOfSquares(exec)) / weight_sum;
  double scale = 1.0 / weight_sum;
  if (options_.clip_gradient_norm > 0) {
    scale *= std::min(1.0, options_.clip_gradient_norm / (norm + kNormEpsilon));
  }
  if (read_ != nullptr) read_->MakeWait(exec.stream);
  read_.reset();
  ++num_updates_;
  std::size_t next = 0;
  for (int bucket = 0; bucket < plan_.num_buckets(); ++bucket) {
    const std::int64_t bucket_end = plan_.bucket(bucket).end;
    for (; next < segments_.size() && segments_[next].begin < bucket_end; ++next) {
      UpdateSegment(exec, segments_[next], learning_rate, scale);
    }
    StartGather(bucket);
    communicator_.Poll();
  }
  CopyOwnVectors();
  FinishGathers();
  GatherVectors();
  return {.gradient_norm = norm, .skipped = false};
}

std::span<const double> ShardedOptimizer::TileSums(const Exec& exec) {
  const std::span<const float> gradients = buffers_.gradients();
  const std::span<double> sums = tile_sums_.As<double>();
  std::int64_t tile = shard_tile_[static_cast<std::size_t>(shard_)];
  for (const TileRun& run : runs_) {
    const std::int64_t tiles = run.size() / kTileElements;
    TileSquareSums(
        exec, {.x = Part(gradients, run.begin, run.size()), .partials = Part(sums, tile, tiles)});
    tile += tiles;
  }
  if (plan_.num_shards() > 1) {
    std::vector<std::int64_t> offsets = shard_tile_;
    for (std::int64_t& offset : offsets) offset *= static_cast<std::int64_t>(sizeof(double));
    Wait(communicator_.StartAllGather(std::as_writable_bytes(sums), offsets));
  }
  Device& device = buffers_.device();
  if (device.is_host()) return sums;
  device.Copy(host_tile_sums_.data(), tile_sums_.data(), tile_sums_.size_bytes());
  tile_sums_read_.Record(device.compute_stream());
  tile_sums_read_.Wait();
  return host_tile_sums_.As<double>();
}

double ShardedOptimizer::SumOfSquares(const Exec& exec) {
  const std::span<const double> tile_sums = TileSums(exec);
  // Shards lie one after the other; the order of the sum is that of the tiles in the flat buffer.
  std::vector<std::int64_t> next = shard_tile_;
  std::int64_t flat_tile = 0;
  double sum = 0;
  for (int bucket = 0; bucket < plan_.num_buckets(); ++bucket) {
    for (int shard = 0; shard < plan_.num_shards(); ++shard) {
      std::int64_t& place = next[static_cast<std::size_t>(shard)];
      const std::int64_t tiles = plan_.share(bucket, shard).size() / kTileElements;
      for (std::int64_t i = 0; i < tiles; ++i, ++place, ++flat_tile) {
        const double partial = tile_sums[static_cast<std::size_t>(place)];
        if (!std::isfinite(partial)) FailNotFinite(flat_tile);
        sum += partial;
      }
    }
  }
  return sum;
}

void ShardedOptimizer::FailNotFinite(std::int64_t tile) const {
  const ParameterTable& table = buffers_.table();
  throw MachineError(
      "the sum over ranks of the gradients of {} is not finite after {} updates{}; nothing was "
      "updated",
      table.piece(table.PieceAt(tile * kTileElements)).name, num_updates_,
      buffers_.device().is_host() ? ", though each rank's own was" : "");
}

void ShardedOptimizer::UpdateSegment(const Exec& exec, const Segment& segment, double learning_rate,
                                     double gradient_scale) {
  const std::int64_t n = segment.size();
  AdamwArgs args{
      .master = {},
      .m = Part(m(), segment.local, n),
      .v = Part(v(), segment.local, n),
      .gradient = Part(std::span<const float>(buffers_.gradients()), segment.begin, n),
      .weights = {},
      .learning_rate = learning_rate,
      .beta1 = options_.beta1,
      .beta2 = options_.beta2,
      .epsilon = options_.epsilon,
      .weight_decay = segment.matrix ? options_.weight_decay : 0.0,
      .gradient_scale = gradient_scale,
      .bias_correction1 = 1.0 - std::pow(options_.beta1, static_cast<double>(num_updates_)),
      .bias_correction2 = 1.0 - std::pow(options_.beta2, static_cast<double>(num_updates_))};
  if (buffers_.compute_dtype() == DType::kFloat32) {
    args.master = {reinterpret_cast<float*>(buffers_.weights()) + segment.begin,
                   static_cast<std::size_t>(n)};
  } else {
    args.master = Part(master(), segment.local, n);
    args.weights = {reinterpret_cast<bf16*>(buffers_.weights()) + segment.begin,
                    static_cast<std::size_t>(n)};
  }
  Adamw(exec, args);
}

void ShardedOptimizer::StartGather(int bucket) {
  if (plan_.num_shards() == 1) return;
  const std::int64_t element_bytes = SizeOf(buffers_.compute_dtype());
  const TileRun run = plan_.bucket(bucket);
  std::vector<std::int64_t> offsets = plan_.ShareOffsets(bucket);
  for (std::int64_t& offset : offsets) offset *= element_bytes;
  gathers_.push_back(
      communicator_.StartAllGather({buffers_.weights() + run.begin * element_bytes,
                                    static_cast<std::size_t>(run.size() * element_bytes)},
                                   offsets));
}

void ShardedOptimizer::FinishGathers() {
  for (const CommRequest request : gathers_) Wait(request);
  gathers_.clear();
}

void ShardedOptimizer::CopyOwnVectors() {
  for (const Segment& segment : vector_segments_[static_cast<std::size_t>(shard_)]) {
    buffers_.device().Copy(buffers_.VectorsAt(segment.begin), master().data() + segment.local,
                           segment.size() * SizeOf(DType::kFloat32));
  }
}

// bf16: norm gains and biases are read in fp32, so their master goes to all ranks as it is.
void ShardedOptimizer::GatherVectors() {
  if (plan_.num_shards() == 1 || !has_master()) return;
  Device& device = buffers_.device();
  ForVectors([&](const Segment& segment, float* packed) {
    device.Copy(packed, buffers_.VectorsAt(segment.begin),
                segment.size() * SizeOf(DType::kFloat32));
  });
  Wait(communicator_.StartAllGather(vector_values_.bytes(), vector_offsets_));
  ForVectors([&](const Segment& segment, float* packed) {
    device.Copy(buffers_.VectorsAt(segment.begin), packed,
                segment.size() * SizeOf(DType::kFloat32));
  });
}

void ShardedOptimizer::ForVectors(
    const std::function<void(const Segment& segment, float* packed)>& copy) {
  float* packed = vector_values_.As<float>().data();
  for (const std::vector<Segment>& segments : vector_segments_) {
    for (const Segment& segment : segments) {
      copy(segment, packed);
      packed += segment.size();
    }
  }
}

void ShardedOptimizer::Wait(CommRequest request) {
  const ScopedTimer timer(wait_seconds_);
  communicator_.Wait(request);
}

void ShardedOptimizer::PublishParameters() {
  if (has_master()) {
    auto* const weights = reinterpret_cast<bf16*>(buffers_.weights());
    const Exec exec = ExecOn(buffers_.device());
    for (const Segment& segment : segments_) {
      Cast(exec, {.from = {master().data() + segment.local, 1, segment.size()},
                  .to = {weights + segment.begin, 1, segment.size()}});
    }
  }
  CopyOwnVectors();
  for (int bucket = 0; bucket < plan_.num_buckets(); ++bucket) StartGather(bucket);
  FinishGathers();
  GatherVectors();
}

}  // namespace sequela
