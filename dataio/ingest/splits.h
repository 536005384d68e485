// Which subject belongs to which split. Safe for concurrent reads.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "dataio/base/split.h"

namespace sequela {

// A stable hash of the id decides: 80 % train, 10 % tuning, 10 % held_out. The same on every
// machine and in every version; adding subjects moves nobody.
Split HashSplit(std::int64_t subject_id);

// Fold `fold` (0 <= fold < folds) of a cross-validation by subject: the subjects whose hash falls
// on the fold are held_out, those on the next fold tuning, all others train. REQUIRES: folds >= 3.
Split FoldSplit(std::int64_t subject_id, int folds, int fold);

// Subject -> split as a file says: Parquet (subject_id, split), or CSV with these two columns.
// Throws InputError for unknown split names and for a subject in two splits.
std::unordered_map<std::int64_t, Split> LoadSplits(const std::filesystem::path& file);

// The split that the path of a data file names, if any: one of its folders, or the file, is called
// after the split (data/train/0.parquet, data/split=train/0.parquet, data/train.parquet,
// data/train-00000-of-00005.parquet). Names, in upper or lower case: train; tuning, val, valid,
// validation, dev; held_out, held-out, heldout, test. Throws InputError, without the path, where it
// names two splits, or has split=NAME with another name.
std::optional<Split> SplitOfPath(const std::filesystem::path& relative_file);

// Subject ids, one a line; empty lines and lines that begin with # are skipped. Throws InputError
// with the line.
std::unordered_set<std::int64_t> LoadSubjectIds(const std::filesystem::path& file);

// Lines of a text file without surrounding blanks, empty ones and those that begin with # left out.
// Throws InputError with the line where one is not UTF-8.
std::vector<std::string> LoadLines(const std::filesystem::path& file);

}  // namespace sequela
