// One rank's part of a checkpoint: a copy of what it will write, taken by the training thread and
// written by another.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "runtime/buffer.h"
#include "runtime/safetensors_writer.h"
#include "runtime/sharded_optimizer.h"

namespace sequela {

// Which rank writes which files. The same on every rank.
class CheckpointFiles {
 public:
  CheckpointFiles(const ParameterTable& table, DType compute_dtype, int world_size,
                  std::int64_t model_file_bytes);

  struct ModelFile {
    std::string name;
    int writer = 0;           // rank
    std::vector<int> pieces;  // indices
  };
  const std::vector<ModelFile>& model_files() const { return model_files_; }
  // The names of what a rank writes, in the order in which Snapshot::Write returns them.
  std::vector<std::string> NamesOf(int rank) const;
  // The text of model.safetensors.index.json; empty for a single file.
  std::string Index(const ParameterTable& table, DType compute_dtype) const;

 private:
  int world_size_;
  std::vector<ModelFile> model_files_;
};

// The bytes and dtype of a piece as the model's file holds it: the compute dtype; vectors always
// fp32.
DType StoredDType(const ParameterPiece& piece, DType compute_dtype);

// The run of a shard that this rank writes: all of it, or, where every rank holds everything, an
// even part.
TileRun WrittenPart(const BucketPlan& plan, TileRun run, int rank, int world_size);

// Take and Write never at once: Take on the training thread, Write on any.
class Snapshot {
 public:
  Snapshot(ShardedOptimizer& optimizer, const CheckpointFiles& files, int rank, int world_size);

  std::int64_t size_bytes() const { return size_bytes_; }
  // Copies the state as it is now. On a device the copies are only enqueued, on the side stream:
  // the optimizer's next Update waits for them there, Write on the host.
  void Take();
  // Writes and syncs this rank's files into an existing folder. Throws MachineError.
  std::vector<WrittenFile> Write(const std::filesystem::path& folder) const;

 private:
  struct Source {
    const std::byte* data;
    std::int64_t size_bytes;
  };
  struct Tensor {
    std::string name;
    DType dtype;
    std::vector<std::int64_t> shape;
    std::vector<Source> sources;  // copied one after the other
    std::int64_t place = 0;       // in the copy
    std::int64_t size_bytes = 0;
  };
  struct File {
    std::string name;
    SafetensorsMetadata metadata;
    std::vector<Tensor> tensors;
  };

  void PlanOptimizerFile(ShardedOptimizer& optimizer);
  void PlanModelFile(ShardedOptimizer& optimizer, const CheckpointFiles::ModelFile& model_file);
  void AddTensor(File& file, Tensor tensor);

  ShardedOptimizer& optimizer_;
  int rank_;
  int world_size_;
  std::vector<std::int64_t> runs_;  // [runs, 2]: begin and end in the flat buffers
  std::vector<File> files_;
  std::int64_t size_bytes_ = 0;
  Buffer copy_;                   // pinned
  std::shared_ptr<Event> taken_;  // the copies have happened
};

}  // namespace sequela
