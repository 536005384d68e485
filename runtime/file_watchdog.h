// Notices a file system that hangs. A call that writes to it may then never return, so that nothing
// could be thrown: another thread has to speak, and to end the process.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace sequela {

class FileWork;

// Safe for concurrent use.
class FileWatchdog {
 public:
  // Where a FileWork makes no progress for so many seconds (0: no limit), its own thread calls
  // on_hang with a message, once for each such work. Normally on_hang does not return.
  FileWatchdog(double seconds, std::function<void(const std::string& message)> on_hang);
  ~FileWatchdog();
  FileWatchdog(const FileWatchdog&) = delete;
  FileWatchdog& operator=(const FileWatchdog&) = delete;

 private:
  friend class FileWork;
  void Add(FileWork* work);
  void Remove(FileWork* work);
  void Watch();

  const double seconds_;
  const std::function<void(const std::string&)> on_hang_;
  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::vector<FileWork*> works_;
  bool stopping_ = false;
  std::thread thread_;
};

// Work on files while it lives, on the thread that made it. REQUIRES: works of one thread end in
// the reverse order of their beginning.
class FileWork {
 public:
  // `doing` as in "writing /runs/a/checkpoints/step-00000100.partial". A null watchdog watches
  // nothing.
  FileWork(FileWatchdog* watchdog, std::string doing);
  ~FileWork();
  FileWork(const FileWork&) = delete;
  FileWork& operator=(const FileWork&) = delete;

 private:
  friend class FileWatchdog;
  friend void NoteFileProgress();
  using Clock = std::chrono::steady_clock;

  FileWatchdog* watchdog_;
  std::string doing_;
  std::atomic<Clock::time_point> last_progress_;
  bool reported_ = false;
  FileWork* outer_;
};

// A part of this thread's innermost FileWork is done: the time counts anew. Cheap; does nothing
// where there is no work.
void NoteFileProgress();

}  // namespace sequela
