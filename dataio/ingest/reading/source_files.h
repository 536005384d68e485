// The files of a MEDS dataset, and what its metadata says.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "dataio/meds/event_file.h"
#include "dataio/store/chain_store.h"

namespace sequela {

struct SourceFile {
  std::filesystem::path path;
  std::string relative;        // to the dataset: what messages and the manifest show
  std::optional<Split> split;  // as its folder says
};

struct SourceDataset {
  std::filesystem::path root;
  std::vector<SourceFile> files;              // sorted by relative path
  std::vector<std::string> modifier_columns;  // code_modifier_columns of dataset.json
  std::string dataset_json;                   // empty where there is none
  std::string simulation_json;                // likewise
  std::optional<std::filesystem::path> codes_file;
  std::optional<std::filesystem::path> splits_file;
};

// `source`: a MEDS folder (data/, metadata/), a folder with Parquet files, or one Parquet file.
// Throws InputError where there is none, or dataset.json contradicts itself.
SourceDataset FindSource(const std::filesystem::path& source);

}  // namespace sequela
