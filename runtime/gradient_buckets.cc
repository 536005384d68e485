#include "runtime/gradient_buckets.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "kernels/base/check.h"
#include "kernels/base/int_math.h"
#include "kernels/elementwise.h"
#include "kernels/global_norm.h"
#include "runtime/step_timer.h"

namespace sequela {
namespace {

// True where every value is finite: no exponent is all ones.
bool AllFinite(std::span<const float> values) {
  constexpr std::uint32_t kExponent = 0x7f800000U;
  const float* const x = values.data();
  const std::size_t n = values.size();
  std::uint32_t found = 0;
#pragma omp simd reduction(| : found)
  for (std::size_t i = 0; i < n; ++i) {
    found |= (std::bit_cast<std::uint32_t>(x[i]) & kExponent) == kExponent ? 1U : 0U;
  }
  return found == 0;
}

}  // namespace

BucketPlan::BucketPlan(std::int64_t num_elements, std::int64_t bucket_bytes, int num_shards)
    : num_shards_(num_shards), bucket_begin_({0}) {
  SEQUELA_CHECK(num_elements % kTileElements == 0, "{}", num_elements);
  SEQUELA_CHECK(bucket_bytes > 0 && num_shards > 0);
  const std::int64_t bucket =
      RoundUp(CeilDiv(bucket_bytes, static_cast<std::int64_t>(sizeof(float))), kTileElements);
  while (bucket_begin_.back() < num_elements) {
    bucket_begin_.push_back(std::min(bucket_begin_.back() + bucket, num_elements));
  }
}

TileRun BucketPlan::bucket(int index) const {
  const auto i = static_cast<std::size_t>(index);
  return {bucket_begin_.at(i), bucket_begin_.at(i + 1)};
}

TileRun BucketPlan::share(int index, int shard) const {
  const TileRun whole = bucket(index);
  const std::int64_t tiles = whole.size() / kTileElements;
  const auto edge = [&](std::int64_t part) {
    return whole.begin + tiles * part / num_shards_ * kTileElements;
  };
  return {edge(shard), edge(shard + 1)};
}

std::vector<std::int64_t> BucketPlan::ShareOffsets(int index) const {
  std::vector<std::int64_t> offsets = {0};
  for (int shard = 0; shard < num_shards_; ++shard) {
    offsets.push_back(share(index, shard).end - bucket(index).begin);
  }
  return offsets;
}

std::vector<TileRun> BucketPlan::ShardRuns(int shard) const {
  std::vector<TileRun> runs;
  for (int i = 0; i < num_buckets(); ++i) {
    const TileRun run = share(i, shard);
    if (run.size() == 0) continue;
    if (!runs.empty() && runs.back().end == run.begin) {
      runs.back().end = run.end;
    } else {
      runs.push_back(run);
    }
  }
  return runs;
}

std::int64_t BucketPlan::ShardElements(int shard) const {
  std::int64_t total = 0;
  for (const TileRun& run : ShardRuns(shard)) total += run.size();
  return total;
}

GradientBuckets::GradientBuckets(FlatBuffers& buffers, Communicator& communicator, int zero_stage,
                                 std::int64_t bucket_bytes)
    : buffers_(buffers),
      communicator_(communicator),
      zero_stage_(zero_stage),
      plan_(buffers.table().num_elements(), bucket_bytes,
            zero_stage == 0 ? 1 : communicator.size()) {
  SEQUELA_CHECK(zero_stage >= 0 && zero_stage <= 2, "ZeRO {}", zero_stage);
  if (communicates_each_microbatch()) {
    share_sums_ = Buffer(plan_.ShardElements(communicator.rank()) * SizeOf(DType::kFloat32),
                         buffers.device());
  }
}

std::int64_t GradientBuckets::Begin(std::int64_t step, std::int64_t microbatches) {
  SEQUELA_CHECK(requests_.empty(), "step {} was not finished", step_);
  step_ = step;
  rounds_ = microbatches;
  microbatch_ = 0;
  next_bucket_ = 0;
  wait_seconds_ = 0;
  buffers_.ZeroGradients();
  if (communicates_each_microbatch()) communicator_.AllReduceMax(std::span(&rounds_, 1));
  return rounds_;
}

void GradientBuckets::MarkReady(int num_pieces) {
  if (!is_last() && !communicates_each_microbatch()) return;
  const ParameterTable& table = buffers_.table();
  // Everything before the first piece that is not final; with the last piece, the padding too.
  const std::int64_t ready = num_pieces == table.num_pieces() ? table.num_elements()
                             : num_pieces == 0                ? 0
                                                              : table.piece(num_pieces).offset;
  while (next_bucket_ < plan_.num_buckets() && plan_.bucket(next_bucket_).end <= ready) {
    Send(next_bucket_++);
  }
}

void GradientBuckets::Poll() { communicator_.Poll(); }

void GradientBuckets::EndMicrobatch() {
  SEQUELA_CHECK(microbatch_ < rounds_, "{} microbatches", rounds_);
  if (communicates_each_microbatch()) {
    MarkReady(buffers_.table().num_pieces());
    WaitForAll();
    AddShares();
    if (!is_last()) {
      buffers_.ZeroGradients();
      next_bucket_ = 0;
    }
  }
  ++microbatch_;
}

double GradientBuckets::Finish(double weight_sum) {
  SEQUELA_CHECK(microbatch_ == rounds_, "{} of {} microbatches", microbatch_, rounds_);
  MarkReady(buffers_.table().num_pieces());
  WaitForAll();
  const ScopedTimer timer(wait_seconds_);
  communicator_.AllReduceSum(std::span(&weight_sum, 1));
  return weight_sum;
}

std::span<float> GradientBuckets::Gradients(TileRun run) {
  return buffers_.gradients().subspan(static_cast<std::size_t>(run.begin),
                                      static_cast<std::size_t>(run.size()));
}

void GradientBuckets::Send(int bucket) {
  const TileRun run = plan_.bucket(bucket);
  const std::span<float> gradients = Gradients(run);
  if (buffers_.device().is_host() && !AllFinite(gradients)) FailNotFinite(run);
  requests_.push_back(zero_stage_ == 0 ? communicator_.StartAllReduceSum(gradients)
                                       : communicator_.StartReduceScatterSum(
                                             gradients, plan_.ShareOffsets(bucket)));
}

void GradientBuckets::WaitForAll() {
  const ScopedTimer timer(wait_seconds_);
  for (const CommRequest request : requests_) communicator_.Wait(request);
  requests_.clear();
}

void GradientBuckets::AddShares() {
  const std::span<float> sums = share_sums_.As<float>();
  std::size_t local = 0;
  for (int bucket = 0; bucket < plan_.num_buckets(); ++bucket) {
    const std::span<float> gradients = Gradients(plan_.share(bucket, communicator_.rank()));
    if (gradients.empty()) continue;
    AddShare(gradients, sums.subspan(local, gradients.size()));
    local += gradients.size();
  }
}

// ((first + second) + third) + ...; the last sum goes where the optimizer reads.
void GradientBuckets::AddShare(std::span<float> gradients, std::span<float> sums) {
  if (microbatch_ == 0) {
    if (!is_last()) {
      buffers_.device().Copy(sums.data(), gradients.data(),
                             std::ssize(gradients) * SizeOf(DType::kFloat32));
    }
    return;
  }
  const auto tiles = [](std::span<float> values) {
    return TensorView(values.data(), std::ssize(values) / kTileElements, kTileElements);
  };
  Add(ExecOn(buffers_.device()),
      {.a = tiles(sums), .b = tiles(gradients), .out = is_last() ? tiles(gradients) : tiles(sums)});
}

void GradientBuckets::FailNotFinite(TileRun run) const {
  const std::span<const float> gradients = std::as_const(buffers_).gradients();
  const std::int64_t element =
      run.begin + FirstNonFiniteElement(gradients.subspan(static_cast<std::size_t>(run.begin),
                                                          static_cast<std::size_t>(run.size())));
  const ParameterPiece& piece = buffers_.table().piece(buffers_.table().PieceAt(element));
  throw NonFiniteGradient(
      fmt::format("the gradient of {} at [{}, {}] is {} in step {}; nothing was updated",
                  piece.name, (element - piece.offset) / piece.columns,
                  (element - piece.offset) % piece.columns,
                  gradients[static_cast<std::size_t>(element)], step_),
      piece.name);
}

}  // namespace sequela
