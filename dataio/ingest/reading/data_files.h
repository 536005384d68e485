// Which files below a dataset's data/ are read. A file is read where its name ends in .parquet, in
// upper or lower case, in folders of any depth; links are followed. Names that begin with "." or
// "_" (what other programs write beside their data) and lost+found are skipped with all they hold,
// and so are files with other endings: each is listed. Refused is what would lose or double events:
// links that lead nowhere, folders that may not be read, Parquet under another ending, a .parquet
// that is no regular file, a file or folder that is reached twice.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "dataio/base/split.h"

namespace sequela {

struct SourceFile {
  std::filesystem::path path;
  std::string relative;        // to the dataset: what messages and the manifest show
  std::optional<Split> split;  // as its path says (splits.h)
  std::string split_fault;     // why what its path says is no split; empty: it says one, or nothing
};

// With the split that `relative` names. Does not look at the file.
SourceFile MakeSourceFile(const std::filesystem::path& path, const std::string& relative);

struct DataFiles {
  std::vector<SourceFile> files;     // sorted by relative path
  std::vector<std::string> skipped;  // "relative path: reason", sorted
};

// `prefix`: what stands before the relative paths ("data/"), or empty; then a folder "metadata"
// directly in `folder` is not looked into, because it is the dataset's. Throws InputError naming
// the file or folder and what to do.
DataFiles FindDataFiles(const std::filesystem::path& folder, const std::string& prefix);

}  // namespace sequela
