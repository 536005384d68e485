// The chain store that a run was trained on, found again wherever the run is met: evaluation, a
// vocabulary taken over, inspect. A run names it by path, in the experiment as it was given and in
// run.json as it was then, absolute; what tells it from others is the hash of its content.
#pragma once

#include <filesystem>
#include <string>

namespace sequela {

// The folder of the store that `run` was trained on: data.store of its experiment.yaml (where
// relative, below the current folder), else the absolute path in its run.json; the first of the two
// whose store has the content of run.json. Only its manifest is read. Throws InputError naming both
// places, what lies there and what to do; or where the run's own files cannot be read.
std::filesystem::path FindStoreOfRun(const std::filesystem::path& run);

// The path to record for FindStoreOfRun: absolute, links kept. Empty where the current folder is
// gone.
std::string RecordedStorePath(const std::filesystem::path& store);

}  // namespace sequela
