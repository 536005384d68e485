// Files and folders that appear under their final name whole or not at all: written aside, synced,
// renamed. Lies in base because the runtime (checkpoints) and dataio (stores), which do not know
// each other, both promise it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "kernels/base/writer_lock.h"

namespace sequela {

// Flushes a file's or folder's contents to the disk. Throws MachineError naming path and reason.
void SyncPath(const std::filesystem::path& path);

// Writes `text` as `path`: into a file beside it with a name of its own, synced, renamed over it,
// parent synced. The new file has mode 0600; where `path` is a link, the link is replaced, not what
// it leads to. Throws MachineError (disk full, no permission) and leaves an old file as it was.
void WriteFileAtomically(const std::filesystem::path& path, std::string_view text);

// The whole file as text. Throws InputError where it is no regular file or cannot be read.
std::string ReadFile(const std::filesystem::path& path);

// Removes what `folder` holds, then its file `marker`, then the folder (`keep_folder`: neither of
// the two): an interruption leaves a folder that is still marked. Links are removed, not followed.
// What cannot be removed stays.
void RemoveMarkedFolder(const std::filesystem::path& folder, std::string_view marker,
                        bool keep_folder = false);

// A folder under construction: `folder()` is "<final>.partial", made empty (mode 0700) by the
// constructor and locked (writer_lock.h), so that it has one writer. Commit() syncs every file and
// the folder, renames it to its final name, removes the lock and syncs the parent; without Commit
// the destructor removes it. What an interrupted run left under that name is removed first, where
// the lock file marks it as ours. One thread at a time.
class PartialFolder {
 public:
  // Throws InputError where the final name exists already (the caller says what to do about it),
  // another process is writing it, something that is not ours has the partial name, or the parent
  // is not writable. A final name may end in slashes.
  explicit PartialFolder(const std::filesystem::path& final_folder);
  ~PartialFolder();
  PartialFolder(const PartialFolder&) = delete;
  PartialFolder& operator=(const PartialFolder&) = delete;

  const std::filesystem::path& folder() const { return partial_; }
  // For the log: from whom an interrupted work was taken over; empty where there was none.
  const std::string& takeover() const;
  // Names of files that belong to this work alone hold it: unlike that of any other process that
  // ever wrote under this name.
  const std::string& work_name() const { return work_name_; }
  void Commit();

  static std::filesystem::path NameFor(const std::filesystem::path& final_folder);

 private:
  void RefuseExisting() const;
  bool MakeOrRecognise() const;
  void Remove();

  std::filesystem::path final_;
  std::filesystem::path partial_;
  std::unique_ptr<WriterLock> lock_;
  std::string work_name_;
  bool committed_ = false;
};

}  // namespace sequela
