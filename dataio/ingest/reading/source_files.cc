#include "dataio/ingest/reading/source_files.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "dataio/ingest/splits.h"
#include "kernels/base/atomic_file.h"
#include "kernels/base/errors.h"
#include "kernels/base/json_text.h"

namespace sequela {
namespace {

namespace fs = std::filesystem;

std::vector<SourceFile> FilesBelow(const fs::path& folder) {
  std::vector<SourceFile> files;
  for (const auto& entry :
       fs::recursive_directory_iterator(folder, fs::directory_options::follow_directory_symlink)) {
    if (!entry.is_regular_file() || entry.path().extension() != ".parquet") continue;
    const fs::path relative = entry.path().lexically_relative(folder);
    if (relative.begin()->string() == "metadata" || relative.filename().string()[0] == '.')
      continue;
    files.push_back({entry.path(), relative.generic_string(), SplitOfPath(relative)});
  }
  std::sort(files.begin(), files.end(),
            [](const SourceFile& a, const SourceFile& b) { return a.relative < b.relative; });
  return files;
}

void ReadDatasetJson(SourceDataset& dataset, const fs::path& file) {
  dataset.dataset_json = ReadFile(file);
  try {
    const auto json = ParseJsonText(dataset.dataset_json, file);
    const auto version = json.value("meds_version", std::string("0.4"));
    if (!version.starts_with("0.3") && !version.starts_with("0.4")) {
      throw InputError("{}: meds_version is {}; this program reads 0.3 and 0.4.", file.string(),
                       version);
    }
    if (json.contains("code_modifier_columns") && !json["code_modifier_columns"].is_null()) {
      dataset.modifier_columns = json["code_modifier_columns"].get<std::vector<std::string>>();
    }
  } catch (const nlohmann::json::exception& error) {
    throw InputError("{}: not the JSON object that MEDS describes: {}", file.string(),
                     error.what());
  }
}

}  // namespace

SourceDataset FindSource(const fs::path& source) {
  SourceDataset dataset;
  dataset.root = source;
  if (fs::is_regular_file(source)) {
    dataset.files.push_back({source, source.filename().string(), std::nullopt});
    return dataset;
  }
  if (!fs::is_directory(source)) {
    throw InputError("{}: no such folder. Give a MEDS dataset: a folder with data/ and metadata/.",
                     source.string());
  }
  const bool has_data = fs::is_directory(source / "data");
  dataset.files = FilesBelow(has_data ? source / "data" : source);
  if (has_data) {
    for (SourceFile& file : dataset.files) file.relative = "data/" + file.relative;
  }
  if (dataset.files.empty()) {
    throw InputError(
        "{}: no .parquet files{}. Give a MEDS dataset: a folder with data/ and metadata/.",
        source.string(), has_data ? " below data/" : "");
  }
  const fs::path metadata = source / "metadata";
  if (fs::exists(metadata / "dataset.json")) ReadDatasetJson(dataset, metadata / "dataset.json");
  if (fs::exists(metadata / "simulation.json")) {
    dataset.simulation_json = ReadFile(metadata / "simulation.json");
    if (!ParseJsonText(dataset.simulation_json, metadata / "simulation.json").is_object()) {
      throw InputError("{}: found no JSON object, expected what sequela simulate writes",
                       (metadata / "simulation.json").string());
    }
  }
  if (fs::exists(metadata / "codes.parquet")) dataset.codes_file = metadata / "codes.parquet";
  if (fs::exists(metadata / "subject_splits.parquet")) {
    dataset.splits_file = metadata / "subject_splits.parquet";
  }
  return dataset;
}

}  // namespace sequela
