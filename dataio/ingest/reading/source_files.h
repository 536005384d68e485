// The files of a MEDS dataset, and what its metadata says.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "dataio/ingest/reading/data_files.h"

namespace sequela {

struct SourceDataset {
  std::filesystem::path root;
  std::vector<SourceFile> files;              // sorted by relative path
  std::vector<std::string> skipped;           // below data/ and not read: "path: reason"
  std::vector<std::string> modifier_columns;  // code_modifier_columns of dataset.json
  std::string dataset_json;                   // empty where there is none
  std::string simulation_json;                // likewise
  std::optional<std::filesystem::path> codes_file;
  std::optional<std::filesystem::path> splits_file;
};

// `source`: a MEDS folder (data/, metadata/), a folder with Parquet files, or one Parquet file.
// Throws InputError where there is none, for what data_files.h refuses, where a metadata file cannot
// be read, or dataset.json contradicts itself.
SourceDataset FindSource(const std::filesystem::path& source);

// Whether paths say the splits (of some files at least). `given`: a file lists subjects' splits, and
// so can tell those in files whose path says none. Throws InputError where a path says two splits or
// an unknown one, or where some paths say a split, some do not, and nothing is given: hashing would
// put held-out subjects into train.
bool PathsSaySplits(const SourceDataset& dataset, bool given);

}  // namespace sequela
