#include "launch/inspect_folder.h"

#include <algorithm>
#include <vector>

#include "dataio/store/run_store.h"
#include "kernels/base/errors.h"
#include "kernels/base/json_text.h"
#include "kernels/base/path_names.h"
#include "runtime/checkpoint.h"

namespace sequela {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

// Of its regular files; one that goes away meanwhile counts as none.
std::uintmax_t BytesIn(const fs::path& folder) {
  std::uintmax_t bytes = 0;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::uintmax_t size = entry.is_regular_file(error) ? entry.file_size(error) : 0;
    if (!error) bytes += size;
  }
  return bytes;
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
  if (!PathExists(folder)) throw InputError("{}: no such folder", folder.string());
  if (!IsFolder(folder)) {
    throw InputError(
        "{}: a file, expected a folder: a chain store, a run, a checkpoint or a MEDS "
        "dataset",
        folder.string());
  }
  if (PathExists(folder / "manifest.json")) return FolderKind::kStore;
  if (PathExists(folder / "state.json")) return FolderKind::kCheckpoint;
  if (PathExists(folder / "checkpoints") || PathExists(folder / "experiment.yaml")) {
    return FolderKind::kRun;
  }
  if (PathExists(folder / "data") && HasParquet(folder / "data")) return FolderKind::kMeds;
  throw InputError(
      "{}: expected a chain store (manifest.json), a run (checkpoints/), a checkpoint "
      "(state.json) or a MEDS dataset (data/*.parquet), found none of these",
      folder.string());
}

Json DescribeCheckpoint(const fs::path& folder) {
  const FoundCheckpoint facts = ReadCheckpointFacts(folder);
  return {{"kind", "checkpoint"},
          {"path", folder.string()},
          {"step", facts.step},
          {"num_updates", facts.num_updates},
          {"best_step", facts.best_step},
          {"world_size", facts.world_size},
          {"zero_stage", facts.zero_stage},
          {"compute_dtype", facts.compute_dtype},
          {"num_elements", facts.num_elements},
          {"bytes", BytesIn(folder)}};
}

Json DescribeRun(const fs::path& folder) {
  Json description = {{"kind", "run"}, {"path", folder.string()}};
  std::vector<fs::path> whole;
  std::int64_t unfinished = 0;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder / "checkpoints", error)) {
    if (PathExists(entry.path() / "state.json") && entry.path().extension() != ".partial") {
      whole.push_back(entry.path());
    } else if (IsFolder(entry.path())) {
      ++unfinished;
    }
  }
  std::sort(whole.begin(), whole.end());
  Json damaged = Json::array();
  description["checkpoints"] = Json::array();
  for (const fs::path& checkpoint : whole) {
    try {
      description["checkpoints"].push_back(DescribeCheckpoint(checkpoint));
    } catch (const InputError& fault) {
      // The run may have replaced it meanwhile.
      if (PathExists(checkpoint)) damaged.push_back(fault.what());
    }
  }
  description["unfinished_checkpoints"] = unfinished;
  if (!damaged.empty()) description["damaged_checkpoints"] = damaged;
  try {
    if (PathExists(folder / "experiment.yaml")) {
      description["store"] = FindStoreOfRun(folder).string();
    }
  } catch (const InputError& fault) {
    description["store_fault"] = fault.what();
  }
  if (PathExists(folder / "summary.json")) {
    description["summary"] = ReadJsonFile<Json>(folder / "summary.json");
  }
  return description;
}

Json DescribeMeds(const fs::path& folder) {
  std::int64_t files = 0;
  std::uint64_t bytes = 0;
  std::error_code error;
  for (fs::recursive_directory_iterator entry(folder / "data", error), end; entry != end;
       entry.increment(error)) {
    if (entry->path().extension() != ".parquet") continue;
    ++files;
    std::error_code vanished;
    const std::uintmax_t size = entry->file_size(vanished);
    if (!vanished) bytes += size;
  }
  if (error) {
    throw InputError("{}: cannot be read: {}", (folder / "data").string(), error.message());
  }
  Json description = {
      {"kind", "meds"}, {"path", folder.string()}, {"files", files}, {"bytes", bytes}};
  for (const char* name : {"dataset.json", "codes.parquet", "subject_splits.parquet"}) {
    description[std::string("has_") + std::string(name).substr(0, std::string(name).find('.'))] =
        PathExists(folder / "metadata" / name);
  }
  if (PathExists(folder / "metadata/dataset.json")) {
    description["dataset"] = ReadJsonFile<Json>(folder / "metadata/dataset.json");
  }
  return description;
}

}  // namespace sequela
