// In three phases: a file's runs are read and checked; what overlaps with this rank's runs is
// copied; the runs of all files are compared with the whole flat buffer.
#include "runtime/checkpoint/optimizer_files.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/base/errors.h"
#include "runtime/safetensors.h"

namespace sequela {
namespace {

namespace fs = std::filesystem;

const SafetensorsEntry& Tensor(const SafetensorsFile& file, const char* name, DType dtype) {
  const SafetensorsEntry* entry = file.Find(name);
  if (entry == nullptr || entry->dtype != dtype) {
    throw InputError("{}: has no tensor \"{}\" of {}", file.path().string(), name,
                     SafetensorsName(dtype));
  }
  return *entry;
}

// The runs of the flat buffer that the file holds: whole tiles, ascending, within the buffer.
std::vector<TileRun> ReadRuns(const SafetensorsFile& file, std::int64_t num_elements) {
  const SafetensorsEntry& entry = Tensor(file, "runs", DType::kInt64);
  if (entry.shape.size() != 2 || entry.shape[1] != 2) {
    throw InputError("{}: tensor runs has the shape [{}]; expected [k, 2]", file.path().string(),
                     fmt::join(entry.shape, ", "));
  }
  std::vector<TileRun> runs;
  std::int64_t at = 0;
  for (std::size_t i = 0; i < entry.bytes.size(); i += 2 * sizeof(std::int64_t)) {
    std::int64_t ends[2];
    std::memcpy(ends, entry.bytes.data() + i, sizeof(ends));
    if (ends[0] < at || ends[1] <= ends[0] || ends[1] > num_elements ||
        ends[0] % kTileElements != 0 || ends[1] % kTileElements != 0) {
      throw InputError("{}: run [{}, {}) is none of this model's {} elements", file.path().string(),
                       ends[0], ends[1], num_elements);
    }
    runs.push_back({ends[0], ends[1]});
    at = ends[1];
  }
  return runs;
}

// A tensor of the file and this rank's values that it fills.
struct Target {
  const SafetensorsEntry* tensor;
  std::span<float> values;
};

void CheckTarget(const SafetensorsFile& file, const Target& target, std::int64_t elements) {
  const SafetensorsEntry& tensor = *target.tensor;
  if (tensor.shape.size() != 1 || tensor.shape[0] != elements) {
    throw InputError("{}: tensor {} has the shape [{}]; its runs hold {} elements",
                     file.path().string(), tensor.name, fmt::join(tensor.shape, ", "), elements);
  }
  for (std::size_t i = 0; i < tensor.bytes.size(); i += sizeof(float)) {
    float value = 0.0F;
    std::memcpy(&value, tensor.bytes.data() + i, sizeof(value));
    if (std::isfinite(value)) continue;
    throw InputError("{}: tensor {} holds a value that is no finite number (NaN or infinite)",
                     file.path().string(), tensor.name);
  }
}

// Copies the elements of `theirs`, which begin at `stored` in the tensor, that are this rank's.
void CopyRun(const TileRun& theirs, std::int64_t stored, const Target& target,
             ShardedOptimizer& optimizer) {
  constexpr auto kBytes = static_cast<std::int64_t>(sizeof(float));
  std::int64_t local = 0;  // where a run of this rank begins in its values
  for (const TileRun& mine : optimizer.runs()) {
    const std::int64_t begin = std::max(theirs.begin, mine.begin);
    const std::int64_t end = std::min(theirs.end, mine.end);
    if (begin < end) {
      optimizer.buffers().device().Copy(
          target.values.data() + local + (begin - mine.begin),
          target.tensor->bytes.data() + (stored + begin - theirs.begin) * kBytes,
          (end - begin) * kBytes);
    }
    local += mine.size();
  }
}

std::vector<TileRun> ReadFileOfRank(const SafetensorsFile& file, ShardedOptimizer& optimizer) {
  std::vector<TileRun> runs = ReadRuns(file, optimizer.buffers().table().num_elements());
  std::vector<Target> targets = {{&Tensor(file, "m", DType::kFloat32), optimizer.m()},
                                 {&Tensor(file, "v", DType::kFloat32), optimizer.v()}};
  if (optimizer.has_master()) {
    targets.push_back({&Tensor(file, "master", DType::kFloat32), optimizer.master()});
  }
  std::int64_t elements = 0;
  for (const TileRun& run : runs) elements += run.size();
  for (const Target& target : targets) {
    CheckTarget(file, target, elements);
    std::int64_t stored = 0;
    for (const TileRun& run : runs) {
      CopyRun(run, stored, target, optimizer);
      stored += run.size();
    }
  }
  return runs;
}

}  // namespace

void ReadOptimizerFiles(const fs::path& folder, const CheckpointState& state,
                        ShardedOptimizer& optimizer) {
  std::vector<TileRun> all;
  for (int rank = 0; rank < state.world_size; ++rank) {
    const std::string name = OptimizerFileName(rank, state.world_size);
    if (std::ranges::find(state.files, name, &WrittenFile::name) == state.files.end()) {
      throw InputError("{}: {} lists no file {}", folder.string(), kStateFile, name);
    }
    const SafetensorsFile file(folder / name);
    const std::vector<TileRun> runs = ReadFileOfRank(file, optimizer);
    all.insert(all.end(), runs.begin(), runs.end());
  }
  std::ranges::sort(all, {}, &TileRun::begin);
  std::int64_t at = 0;
  for (const TileRun& run : all) {
    if (run.begin != at) break;
    at = run.end;
  }
  if (at != optimizer.buffers().table().num_elements()) {
    throw InputError(
        "{}: the optimizer files do not hold every element once: element {} is missing or there "
        "twice",
        folder.string(), at);
  }
}

}  // namespace sequela
