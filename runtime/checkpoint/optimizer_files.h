// Reading AdamW's state from a checkpoint's optimizer files (CHECKPOINT_FORMAT.md), whatever number
// of ranks wrote them.
#pragma once

#include <filesystem>

#include "runtime/checkpoint/state_file.h"
#include "runtime/sharded_optimizer.h"

namespace sequela {

// Fills m, v and master of this rank's shard. Throws InputError naming the file where one of them is
// not listed in `state`, or its tensors do not fit each other or the model; where the files' runs
// together do not cover every parameter once; and where a value is no finite number.
void ReadOptimizerFiles(const std::filesystem::path& folder, const CheckpointState& state,
                        ShardedOptimizer& optimizer);

}  // namespace sequela
