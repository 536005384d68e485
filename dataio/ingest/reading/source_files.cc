#include "dataio/ingest/reading/source_files.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "dataio/base/split.h"
#include "kernels/base/atomic_file.h"
#include "kernels/base/errors.h"
#include "kernels/base/json_text.h"
#include "kernels/base/printable_text.h"

namespace sequela {
namespace {

namespace fs = std::filesystem;

// metadata/NAME where it is there. What is there but leads nowhere must not count as absent: without
// the file of splits, for one, held-out subjects would go to train.
std::optional<fs::path> MetadataFile(const fs::path& file) {
  std::error_code error;
  const auto own = fs::symlink_status(file, error).type();
  if (own == fs::file_type::not_found) return std::nullopt;
  if (fs::is_regular_file(file, error)) return file;
  throw InputError("{}: is there, but no file that can be read. Restore it, or remove it.",
                   file.string());
}

void ReadDatasetJson(SourceDataset& dataset, const fs::path& file) {
  dataset.dataset_json = ReadFile(file);
  try {
    const auto json = ParseJsonText(dataset.dataset_json, file);
    const auto version = json.value("meds_version", std::string("0.4"));
    if (!version.starts_with("0.3") && !version.starts_with("0.4")) {
      throw InputError("{}: meds_version is {}; this program reads 0.3 and 0.4.", file.string(),
                       Printable(version));
    }
    if (json.contains("code_modifier_columns") && !json["code_modifier_columns"].is_null()) {
      dataset.modifier_columns = json["code_modifier_columns"].get<std::vector<std::string>>();
    }
  } catch (const nlohmann::json::exception& error) {
    throw InputError("{}: not the JSON object that MEDS describes: {}", file.string(),
                     error.what());
  }
}

void ReadMetadata(SourceDataset& dataset, const fs::path& folder) {
  std::error_code error;
  const auto own = fs::symlink_status(folder, error).type();
  if (own == fs::file_type::not_found) return;
  if (!fs::is_directory(folder, error)) {
    throw InputError("{}: is there, but no folder that can be read. Restore it, or remove it.",
                     folder.string());
  }
  if (const auto file = MetadataFile(folder / "dataset.json")) ReadDatasetJson(dataset, *file);
  if (const auto file = MetadataFile(folder / "simulation.json")) {
    dataset.simulation_json = ReadFile(*file);
    if (!ParseJsonText(dataset.simulation_json, *file).is_object()) {
      throw InputError("{}: found no JSON object, expected what sequela simulate writes",
                       file->string());
    }
  }
  dataset.codes_file = MetadataFile(folder / "codes.parquet");
  dataset.splits_file = MetadataFile(folder / "subject_splits.parquet");
}

}  // namespace

SourceDataset FindSource(const fs::path& source) {
  SourceDataset dataset;
  dataset.root = source;
  std::error_code error;
  if (fs::is_regular_file(source, error)) {
    dataset.files.push_back(MakeSourceFile(source, source.filename().string()));
    return dataset;
  }
  if (!fs::is_directory(source, error)) {
    throw InputError(
        "{}: no such folder{}. Give a MEDS dataset: a folder with data/ and metadata/.",
        source.string(), error ? " (" + error.message() + ")" : "");
  }
  const bool has_data = fs::is_directory(source / "data", error);
  DataFiles found = FindDataFiles(has_data ? source / "data" : source, has_data ? "data/" : "");
  dataset.files = std::move(found.files);
  dataset.skipped = std::move(found.skipped);
  if (dataset.files.empty()) {
    throw InputError(
        "{}: no .parquet files{}. Give a MEDS dataset: a folder with data/ and metadata/.",
        source.string(), has_data ? " below data/" : "");
  }
  ReadMetadata(dataset, source / "metadata");
  return dataset;
}

bool PathsSaySplits(const SourceDataset& dataset, bool given) {
  const auto says = [](const SourceFile& file) { return file.split.has_value(); };
  const auto& files = dataset.files;
  for (const SourceFile& file : files) {
    if (file.split_fault.empty()) continue;
    throw InputError("{}, {}: {}", dataset.root.string(), Printable(file.relative),
                     file.split_fault);
  }
  const auto first = std::find_if(files.begin(), files.end(), says);
  const auto other = std::find_if_not(files.begin(), files.end(), says);
  if (first == files.end()) return false;
  if (other == files.end() || given) return true;
  throw InputError(
      "{}: the split of {} is not known, while the path of {} says {}. Move it into a folder named "
      "train, tuning or held_out, or out of the dataset, or say the splits by --splits FILE.",
      dataset.root.string(), Printable(other->relative), Printable(first->relative),
      NameOf(*first->split));
}

}  // namespace sequela
