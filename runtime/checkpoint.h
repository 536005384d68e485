// Checkpoints: written while training goes on, whole or not there at all, readable by any number of
// ranks and any ZeRO level. The files are described in CHECKPOINT_FORMAT.md.
//
// Order of writing (each step can be the last one that happens)
//   1. the training thread copies this rank's part (the only time that training waits; on a GPU the
//      copy runs beside the next step's forward and backward, and its update comes after it);
//   2. a thread of each rank writes and syncs its files into step-00000100.partial/;
//   3. when every rank's files are written (seen at the ends of steps), rank 0 writes state.json
//      there, syncs, renames the folder to step-00000100 and syncs the parent;
//   4. rank 0 reads the new checkpoint back; only then are older ones deleted.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/communicator.h"
#include "runtime/file_watchdog.h"
#include "runtime/safetensors.h"
#include "runtime/sharded_optimizer.h"

namespace sequela {

inline constexpr std::int64_t kModelFileBytes = std::int64_t{4} << 30;

struct CheckpointOptions {
  std::filesystem::path folder;  // RUN/checkpoints; made where it is missing
  std::int64_t keep_last = 2;    // at least 1
  std::int64_t keep_every = 0;   // also keep steps that are multiples of this; 0: none
  std::int64_t model_file_bytes = kModelFileBytes;  // larger models: several files with an index
  FileWatchdog* watchdog = nullptr;  // watches the writing; borrowed; null: a file system that
                                     // hangs keeps the run waiting for ever
};

// What the trainer adds. The same on every rank (rank 0's is written).
struct CheckpointContents {
  std::int64_t step = 0;  // steps done
  std::int64_t best_step =
      -1;  // the step whose checkpoint is the best so far (it is kept); -1: none yet
  std::string trainer_state =
      {};  // a JSON object, opaque here: loader state, result hash, metrics offset, ...
  std::map<std::string, std::string> text_files =
      {};  // name -> text, beside the tensors: "config.json", ...
};

// One thread at a time: the training thread. All calls but the destructor are made by all ranks
// alike.
class CheckpointWriter {
 public:
  // Collective. Borrows `optimizer`. Removes what an interrupted run left unfinished in the folder.
  // Throws InputError where the folder cannot be made or written.
  CheckpointWriter(ShardedOptimizer& optimizer, Communicator& communicator,
                   CheckpointOptions options);
  // Waits for this rank's thread; an unfinished checkpoint stays a .partial folder.
  ~CheckpointWriter();
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  // Begins a checkpoint of the state as it is now. Waits for the one before it, if that is still
  // being written. A step whose checkpoint exists already is left alone.
  void Start(CheckpointContents contents);
  // At the end of every step; never waits. Throws what the writing thread met: MachineError (disk
  // full).
  void Poll();
  // Returns when the checkpoint under way is whole under its final name. Throws like Poll.
  void Finish();

  bool busy() const;
  // The newest whole checkpoint written by this object; -1 before the first.
  std::int64_t last_whole_step() const;
  // Seconds that Start and Finish have kept the training thread since the last call of this
  // function.
  double TakeWaitSeconds();
  // Memory of this rank's copy, allocated at the first Start.
  std::int64_t snapshot_bytes() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// What snapshot_bytes() will be on this rank, before anything is allocated. `plan` decides the
// shards.
std::int64_t PlanSnapshotBytes(const ParameterTable& table, DType compute_dtype,
                               const BucketPlan& plan, int rank, int world_size,
                               std::int64_t model_file_bytes = kModelFileBytes);

// A whole checkpoint: state.json present and right, files of the listed sizes and CRCs, weights that
// are finite numbers.
struct FoundCheckpoint {
  std::filesystem::path folder;
  std::int64_t step = 0;
  std::int64_t best_step = -1;
  std::int64_t num_updates = 0;
  int world_size = 1;  // of the run that wrote it
  int zero_stage = 0;
  std::string compute_dtype;      // "F32" or "BF16"
  std::int64_t num_elements = 0;  // of a flat buffer (parameter_table.h)
  std::string trainer_state;      // as given
  std::vector<std::string>
      skipped;  // newer ones that are not whole, and why (also logged as warnings)
};

// What a checkpoint is read for, and so which files have to be there and right.
enum class CheckpointUse : std::uint8_t {
  kResume,   // to train on: all that state.json lists
  kWeights,  // the model alone: all but the optimizer's
};

// The newest whole checkpoint in RUN/checkpoints, or none where there is no checkpoint at all (a
// missing folder, only .partial ones). Where checkpoints exist but none is whole, throws InputError
// naming each fault. A checkpoint that goes away meanwhile, because the run that writes them goes
// on, is no fault. Without `communicator` for a single process.
std::optional<FoundCheckpoint> FindCheckpoint(const std::filesystem::path& folder,
                                              CheckpointUse use = CheckpointUse::kResume);
// Collective: rank 0 chooses, the others hear.
std::optional<FoundCheckpoint> FindCheckpoint(const std::filesystem::path& folder,
                                              Communicator& communicator,
                                              CheckpointUse use = CheckpointUse::kResume);
// One checkpoint folder, its files checked. Throws InputError naming the first fault.
FoundCheckpoint OpenCheckpoint(const std::filesystem::path& checkpoint_folder,
                               CheckpointUse use = CheckpointUse::kResume);
// What its state.json says, no other file looked at. Throws InputError where that is damaged.
FoundCheckpoint ReadCheckpointFacts(const std::filesystem::path& checkpoint_folder);

// The weights of a folder: of a checkpoint of ours only files that its state.json lists, of another
// folder those that Hugging Face's names say. They can be read until the object goes, even where the
// files are deleted meanwhile. No CRC is checked: OpenCheckpoint does. Throws InputError.
SafetensorsModel OpenWeights(const std::filesystem::path& folder);

// Reads weights, master, m, v and the update count for this rank's shard, whatever world and ZeRO
// level wrote them, and publishes the parameters. Collective. Throws InputError where the
// parameters are not this model's, or a value is no finite number.
void RestoreCheckpoint(const FoundCheckpoint& checkpoint, ShardedOptimizer& optimizer);

// "step-00000100"
std::string CheckpointName(std::int64_t step);

}  // namespace sequela
