// Files and folders that appear under their final name whole or not at all: written aside, synced,
// renamed. Lies in base because the runtime (checkpoints) and dataio (stores), which do not know
// each other, both promise it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace sequela {

// Flushes a file's or folder's contents to the disk. Throws MachineError naming path and reason.
void SyncPath(const std::filesystem::path& path);

// Writes `text` as `path`: into a file beside it, synced, renamed over it, parent synced. The new
// file has mode 0600. Throws MachineError (disk full, no permission) and leaves an old file as it
// was.
void WriteFileAtomically(const std::filesystem::path& path, std::string_view text);

// The whole file as text. Throws InputError where it is no regular file or cannot be read.
std::string ReadFile(const std::filesystem::path& path);

// A folder under construction: `folder()` is "<final>.partial", made empty (mode 0700) by the
// constructor, which removes what an interrupted run left there. Commit() syncs every file and the
// folder, then renames it to its final name and syncs the parent; without Commit the destructor
// removes it. One thread at a time.
class PartialFolder {
 public:
  // Throws InputError where the final name exists already (the caller says what to do about it) or
  // the parent is not writable.
  explicit PartialFolder(std::filesystem::path final_folder);
  ~PartialFolder();
  PartialFolder(const PartialFolder&) = delete;
  PartialFolder& operator=(const PartialFolder&) = delete;

  const std::filesystem::path& folder() const { return partial_; }
  void Commit();

 private:
  std::filesystem::path final_;
  std::filesystem::path partial_;
  bool committed_ = false;
};

}  // namespace sequela
