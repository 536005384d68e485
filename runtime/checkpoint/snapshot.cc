#include "runtime/checkpoint/snapshot.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "kernels/base/check.h"
#include "kernels/base/int_math.h"
#include "runtime/checkpoint.h"
#include "runtime/checkpoint/state_file.h"

namespace sequela {
namespace {

constexpr std::int64_t kFloatBytes = sizeof(float);
constexpr std::int64_t kTensorAlignment = 64;  // in the copy

std::int64_t StoredBytes(const ParameterPiece& piece, DType compute_dtype) {
  return piece.size() * SizeOf(StoredDType(piece, compute_dtype));
}

std::vector<std::int64_t> StoredShape(const ParameterPiece& piece) {
  return piece.num_dims == 1 ? std::vector{piece.columns} : std::vector{piece.rows, piece.columns};
}

}  // namespace

DType StoredDType(const ParameterPiece& piece, DType compute_dtype) {
  return piece.num_dims == 1 ? DType::kFloat32 : compute_dtype;
}

CheckpointFiles::CheckpointFiles(const ParameterTable& table, DType compute_dtype, int world_size,
                                 std::int64_t model_file_bytes)
    : world_size_(world_size), model_files_(1) {
  std::int64_t bytes = 0;
  for (int i = 0; i < table.num_pieces(); ++i) {
    const std::int64_t piece_bytes = StoredBytes(table.piece(i), compute_dtype);
    if (bytes > 0 && bytes + piece_bytes > model_file_bytes) {
      model_files_.emplace_back();
      bytes = 0;
    }
    model_files_.back().pieces.push_back(i);
    bytes += piece_bytes;
  }
  const std::size_t count = model_files_.size();
  for (std::size_t i = 0; i < count; ++i) {
    model_files_[i].writer = static_cast<int>(i) % world_size;
    model_files_[i].name = count == 1
                               ? "model.safetensors"
                               : fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, count);
  }
}

std::vector<std::string> CheckpointFiles::NamesOf(int rank) const {
  std::vector<std::string> names = {OptimizerFileName(rank, world_size_)};
  for (const ModelFile& file : model_files_) {
    if (file.writer == rank) names.push_back(file.name);
  }
  return names;
}

std::string CheckpointFiles::Index(const ParameterTable& table, DType compute_dtype) const {
  if (model_files_.size() == 1) return "";
  nlohmann::ordered_json index;
  std::int64_t total = 0;
  for (const ParameterPiece& piece : table.pieces()) total += StoredBytes(piece, compute_dtype);
  index["metadata"]["total_size"] = total;
  for (const ModelFile& file : model_files_) {
    for (const int piece : file.pieces) index["weight_map"][table.piece(piece).name] = file.name;
  }
  return index.dump(1) + "\n";
}

TileRun WrittenPart(const BucketPlan& plan, TileRun run, int rank, int world_size) {
  if (plan.num_shards() > 1 || world_size == 1) return run;
  const std::int64_t tiles = run.size() / kTileElements;
  return {run.begin + tiles * rank / world_size * kTileElements,
          run.begin + tiles * (rank + 1) / world_size * kTileElements};
}

std::int64_t PlanSnapshotBytes(const ParameterTable& table, DType compute_dtype,
                               const BucketPlan& plan, int rank, int world_size,
                               std::int64_t model_file_bytes) {
  std::int64_t elements = 0;
  for (const TileRun& run : plan.ShardRuns(plan.num_shards() == 1 ? 0 : rank)) {
    elements += WrittenPart(plan, run, rank, world_size).size();
  }
  const std::int64_t states = compute_dtype == DType::kFloat32 ? 2 : 3;  // m, v, master
  std::int64_t bytes = states * RoundUp(elements * kFloatBytes, kTensorAlignment);
  const CheckpointFiles files(table, compute_dtype, world_size, model_file_bytes);
  for (const CheckpointFiles::ModelFile& file : files.model_files()) {
    if (file.writer != rank) continue;
    for (const int piece : file.pieces) {
      bytes += RoundUp(StoredBytes(table.piece(piece), compute_dtype), kTensorAlignment);
    }
  }
  return bytes;
}

Snapshot::Snapshot(ShardedOptimizer& optimizer, const CheckpointFiles& files, int rank,
                   int world_size)
    : optimizer_(optimizer),
      rank_(rank),
      world_size_(world_size),
      taken_(std::make_shared<Event>(optimizer.buffers().device())) {
  PlanOptimizerFile(optimizer);
  for (const CheckpointFiles::ModelFile& file : files.model_files()) {
    if (file.writer == rank) PlanModelFile(optimizer, file);
  }
}

void Snapshot::PlanOptimizerFile(ShardedOptimizer& optimizer) {
  File file{OptimizerFileName(rank_, world_size_), {{"format", "sequela optimizer"}}, {}};
  // [begin in the shard's buffers, elements] of what this rank writes.
  std::vector<std::pair<std::int64_t, std::int64_t>> parts;
  std::int64_t local = 0;
  for (const TileRun& run : optimizer.runs()) {
    const TileRun part = WrittenPart(optimizer.plan(), run, rank_, world_size_);
    parts.emplace_back(local + part.begin - run.begin, part.size());
    runs_.push_back(part.begin);
    runs_.push_back(part.end);
    local += run.size();
  }
  const auto add = [&](const char* name, std::span<const float> values) {
    Tensor tensor{name, DType::kFloat32, {0}, {}};
    for (const auto& [begin, count] : parts) {
      tensor.sources.push_back(
          {reinterpret_cast<const std::byte*>(values.data() + begin), count * kFloatBytes});
      tensor.shape[0] += count;
    }
    AddTensor(file, std::move(tensor));
  };
  add("m", optimizer.m());
  add("v", optimizer.v());
  if (optimizer.has_master()) add("master", optimizer.master());
  files_.push_back(std::move(file));
}

void Snapshot::PlanModelFile(ShardedOptimizer& optimizer,
                             const CheckpointFiles::ModelFile& model_file) {
  FlatBuffers& buffers = optimizer.buffers();
  // transformers asks for "format".
  File file{model_file.name, {{"format", "pt"}}, {}};
  // fp32 first, so that every tensor lies at a multiple of its element.
  for (const DType dtype : {DType::kFloat32, DType::kBFloat16}) {
    for (const int index : model_file.pieces) {
      const ParameterPiece& piece = buffers.table().piece(index);
      if (StoredDType(piece, buffers.compute_dtype()) != dtype) continue;
      const TensorView view = piece.num_dims == 1 ? buffers.Vector(index) : buffers.Weight(index);
      AddTensor(file, {piece.name,
                       dtype,
                       StoredShape(piece),
                       {{static_cast<const std::byte*>(view.data), piece.size() * SizeOf(dtype)}}});
    }
  }
  files_.push_back(std::move(file));
}

void Snapshot::AddTensor(File& file, Tensor tensor) {
  for (const Source& source : tensor.sources) tensor.size_bytes += source.size_bytes;
  tensor.place = size_bytes_;
  size_bytes_ += RoundUp(tensor.size_bytes, kTensorAlignment);
  file.tensors.push_back(std::move(tensor));
}

void Snapshot::Take() {
  Device& device = optimizer_.buffers().device();
  if (copy_.size_bytes() == 0) copy_ = Buffer::Pinned(size_bytes_, device);
  Event state_is_final(device);
  state_is_final.Record(device.compute_stream());
  state_is_final.MakeWait(device.side_stream());
  for (const File& file : files_) {
    for (const Tensor& tensor : file.tensors) {
      std::byte* out = copy_.data() + tensor.place;
      for (const Source& source : tensor.sources) {
        device.CopyOnSideStream(out, source.data, source.size_bytes);
        out += source.size_bytes;
      }
    }
  }
  taken_->Record(device.side_stream());
  optimizer_.UpdateAfter(taken_);
}

std::vector<WrittenFile> Snapshot::Write(const std::filesystem::path& folder) const {
  taken_->Wait();
  std::vector<WrittenFile> written;
  for (const File& file : files_) {
    std::vector<SafetensorsEntry> entries;
    for (const Tensor& tensor : file.tensors) {
      entries.push_back({tensor.name, tensor.dtype, tensor.shape,
                         copy_.bytes().subspan(static_cast<std::size_t>(tensor.place),
                                               static_cast<std::size_t>(tensor.size_bytes))});
    }
    if (&file == &files_.front()) {
      entries.push_back(
          {"runs", DType::kInt64, {std::ssize(runs_) / 2, 2}, std::as_bytes(std::span(runs_))});
    }
    written.push_back(WriteSafetensors(folder / file.name, entries, file.metadata));
  }
  return written;
}

}  // namespace sequela
