// The output folder of an ingestion by several ranks.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "dataio/ingest/ranks.h"
#include "kernels/base/atomic_file.h"

namespace sequela {

// Made by rank 0 and used by all. Every call that throws or exchanges is made by all ranks.
class SharedFolder {
 public:
  // Throws InputError on every rank where rank 0 may not write there. `ranks` outlives the object.
  SharedFolder(const std::filesystem::path& out, const Ranks& ranks);

  // Where to write until Commit().
  const std::filesystem::path& path() const { return path_; }
  // Of rank 0's own folder for files that are gone at the end.
  const std::string& work_name() const { return work_name_; }
  // On rank 0: what was said when the place of a writer that is gone was taken; empty otherwise.
  std::string takeover() const { return mine_ ? mine_->takeover() : ""; }
  // When all ranks have written: gives the folder its name.
  void Commit();

 private:
  // What is refused, or an empty text.
  std::string Make(const std::filesystem::path& out);

  const Ranks& ranks_;
  std::filesystem::path path_;
  std::string work_name_;
  std::optional<PartialFolder> mine_;
};

}  // namespace sequela
