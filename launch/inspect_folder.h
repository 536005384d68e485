// What `sequela inspect` says of folders that are no chain store: runs, checkpoints, MEDS datasets.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>

namespace sequela {

enum class FolderKind { kStore, kRun, kCheckpoint, kMeds };

// Told by the files that each kind has. Throws InputError saying what was looked for.
FolderKind KindOf(const std::filesystem::path& folder);

// Each returns what `inspect --json` prints.
nlohmann::ordered_json DescribeCheckpoint(const std::filesystem::path& folder);
nlohmann::ordered_json DescribeRun(const std::filesystem::path& folder);
nlohmann::ordered_json DescribeMeds(const std::filesystem::path& folder);

}  // namespace sequela
