#include "launch/inspect_folder.h"

#include <algorithm>
#include <vector>

#include "kernels/base/atomic_file.h"
#include "kernels/base/errors.h"

namespace sequela {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

Json ReadJson(const fs::path& file) {
  try {
    return Json::parse(ReadFile(file));
  } catch (const nlohmann::json::exception& error) {
    throw InputError("{}: not valid JSON: {}", file.string(), error.what());
  }
}

bool HasParquet(const fs::path& folder) {
  std::error_code ignored;
  for (fs::recursive_directory_iterator entry(folder, ignored), end; entry != end;
       entry.increment(ignored)) {
    if (entry->path().extension() == ".parquet") return true;
  }
  return false;
}

}  // namespace

FolderKind KindOf(const fs::path& folder) {
  if (!fs::exists(folder)) throw InputError("{}: no such folder", folder.string());
  if (!fs::is_directory(folder)) {
    throw InputError(
        "{}: a file, expected a folder: a chain store, a run, a checkpoint or a MEDS "
        "dataset",
        folder.string());
  }
  if (fs::exists(folder / "manifest.json")) return FolderKind::kStore;
  if (fs::exists(folder / "state.json")) return FolderKind::kCheckpoint;
  if (fs::exists(folder / "checkpoints") || fs::exists(folder / "experiment.yaml")) {
    return FolderKind::kRun;
  }
  if (fs::exists(folder / "data") && HasParquet(folder / "data")) return FolderKind::kMeds;
  throw InputError(
      "{}: expected a chain store (manifest.json), a run (checkpoints/), a checkpoint "
      "(state.json) or a MEDS dataset (data/*.parquet), found none of these",
      folder.string());
}

Json DescribeCheckpoint(const fs::path& folder) {
  const Json state = ReadJson(folder / "state.json");
  Json description = {{"kind", "checkpoint"}, {"path", folder.string()}};
  for (const char* key : {"step", "num_updates", "best_step", "world_size", "zero_stage",
                          "compute_dtype", "num_elements"}) {
    if (state.contains(key)) description[key] = state[key];
  }
  std::uint64_t bytes = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.is_regular_file()) bytes += entry.file_size();
  }
  description["bytes"] = bytes;
  return description;
}

Json DescribeRun(const fs::path& folder) {
  Json description = {{"kind", "run"}, {"path", folder.string()}};
  std::vector<fs::path> whole;
  std::int64_t unfinished = 0;
  if (fs::exists(folder / "checkpoints")) {
    for (const auto& entry : fs::directory_iterator(folder / "checkpoints")) {
      if (fs::exists(entry.path() / "state.json") && entry.path().extension() != ".partial") {
        whole.push_back(entry.path());
      } else if (entry.is_directory()) {
        ++unfinished;
      }
    }
  }
  std::sort(whole.begin(), whole.end());
  description["checkpoints"] = Json::array();
  for (const fs::path& checkpoint : whole) {
    description["checkpoints"].push_back(DescribeCheckpoint(checkpoint));
  }
  description["unfinished_checkpoints"] = unfinished;
  if (fs::exists(folder / "summary.json")) {
    description["summary"] = ReadJson(folder / "summary.json");
  }
  return description;
}

Json DescribeMeds(const fs::path& folder) {
  std::int64_t files = 0;
  std::uint64_t bytes = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder / "data")) {
    if (entry.path().extension() != ".parquet") continue;
    ++files;
    bytes += entry.file_size();
  }
  Json description = {
      {"kind", "meds"}, {"path", folder.string()}, {"files", files}, {"bytes", bytes}};
  for (const char* name : {"dataset.json", "codes.parquet", "subject_splits.parquet"}) {
    description[std::string("has_") + std::string(name).substr(0, std::string(name).find('.'))] =
        fs::exists(folder / "metadata" / name);
  }
  if (fs::exists(folder / "metadata/dataset.json")) {
    description["dataset"] = ReadJson(folder / "metadata/dataset.json");
  }
  return description;
}

}  // namespace sequela
