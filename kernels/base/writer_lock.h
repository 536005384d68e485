// One writer for one folder: who writes a run, a store or a dataset first takes its lock, a small
// file in the folder that says who holds it. Lies in base because trainer (runs) and dataio
// (stores, datasets) both need it.
//
// The file carries a lock of the kernel's (an open file description lock), which ends with its
// process and which shared file systems pass on to other hosts. Where the file system has none, the
// file's existence is the lock, and its text says whether the holder can still be there.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

namespace sequela {

// One thread at a time.
class WriterLock {
 public:
  static constexpr const char* kFileName = ".sequela-writer";

  // Takes the lock of `folder`; null where the folder does not exist (any more). Throws InputError
  // where another process holds it (names host, process and since when, and how to go on after a
  // crash), where the lock's name is taken by a link or by something else, or where the folder
  // cannot be written. `place` is what messages call the output.
  // A lock whose holder is a process of this host that is gone, or an earlier start of this Slurm
  // job, is taken over.
  static std::unique_ptr<WriterLock> Take(const std::filesystem::path& folder,
                                          const std::filesystem::path& place);
  ~WriterLock();  // removes the file, where it is still this lock's
  WriterLock(const WriterLock&) = delete;
  WriterLock& operator=(const WriterLock&) = delete;

  // From whom the lock was taken over and why, for the log; empty where it was free.
  const std::string& takeover() const { return takeover_; }
  // Whether the lock's file is still this one's: false where another process took it over.
  bool IsHeld() const;
  // "host-pid-start time of the process-number" of this holder: no two holders have the same.
  static std::string OwnerName();
  // The folder has got another name.
  void FollowRename(const std::filesystem::path& folder) { file_ = folder / kFileName; }

  // Whether `folder` holds a lock file of ours, held or left: the marker that we made the folder.
  static bool IsMarked(const std::filesystem::path& folder);

 private:
  WriterLock(std::filesystem::path file, int descriptor, std::string takeover);

  std::filesystem::path file_;
  int descriptor_;
  std::string takeover_;
};

}  // namespace sequela
