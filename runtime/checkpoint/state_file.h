// state.json, the file that makes a checkpoint whole (CHECKPOINT_FORMAT.md), and what lies in
// RUN/checkpoints.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/parameter_table.h"
#include "runtime/safetensors_writer.h"

namespace sequela {

inline constexpr const char* kStateFile = "state.json";

struct CheckpointState {
  std::int64_t step = 0;
  std::int64_t best_step = -1;
  std::int64_t num_updates = 0;
  int world_size = 1;
  int zero_stage = 0;
  std::string compute_dtype;
  std::int64_t num_elements = 0;
  std::vector<ParameterPiece> parameters;
  std::vector<WrittenFile> files;  // all others of the folder
  std::string trainer_state;       // a JSON object
};

// The text of state.json; ends with a CRC-32C of the rest.
std::string StateToJson(const CheckpointState& state);
// Throws InputError naming the file where it is missing, no JSON, of another version, a value is out
// of range, or its CRC differs.
CheckpointState ReadState(const std::filesystem::path& checkpoint_folder);
// Throws InputError naming the first listed file that is missing or whose size or CRC differs.
void CheckFiles(const std::filesystem::path& checkpoint_folder, std::span<const WrittenFile> files);
// Of one rank's part of the optimizer's state; weights are read without them.
std::string OptimizerFileName(int rank, int world_size);
bool IsOptimizerFile(std::string_view name);

// Whether a folder of this name is a checkpoint ("step-00000100").
bool IsCheckpointName(std::string_view name);

// The folders named step-<number> in `folder`, newest first. None where there is no such folder.
std::vector<std::pair<std::int64_t, std::filesystem::path>> ListCheckpoints(
    const std::filesystem::path& folder);

}  // namespace sequela
