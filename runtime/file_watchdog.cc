#include "runtime/file_watchdog.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace sequela {
namespace {

thread_local FileWork* t_innermost = nullptr;

}  // namespace

FileWatchdog::FileWatchdog(double seconds, std::function<void(const std::string&)> on_hang)
    : seconds_(seconds), on_hang_(std::move(on_hang)) {
  if (seconds_ > 0.0) thread_ = std::thread([this] { Watch(); });
}

FileWatchdog::~FileWatchdog() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void FileWatchdog::Add(FileWork* work) {
  {
    const std::scoped_lock lock(mutex_);
    works_.push_back(work);
  }
  changed_.notify_all();
}

void FileWatchdog::Remove(FileWork* work) {
  const std::scoped_lock lock(mutex_);
  std::erase(works_, work);
}

void FileWatchdog::Watch() {
  const auto limit = std::chrono::duration_cast<FileWork::Clock::duration>(
      std::chrono::duration<double>(seconds_));
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    auto next = FileWork::Clock::time_point::max();
    for (FileWork* work : works_) {
      if (work->reported_) continue;
      const auto end = work->last_progress_.load() + limit;
      if (end <= FileWork::Clock::now()) {
        work->reported_ = true;
        on_hang_(fmt::format("{} has made no progress for {:.0f} s: the file system hangs",
                             work->doing_, seconds_));
      } else {
        next = std::min(next, end);
      }
    }
    if (next == FileWork::Clock::time_point::max()) {
      changed_.wait(lock);
    } else {
      changed_.wait_until(lock, next);
    }
  }
}

FileWork::FileWork(FileWatchdog* watchdog, std::string doing)
    : watchdog_(watchdog),
      doing_(std::move(doing)),
      last_progress_(Clock::now()),
      outer_(std::exchange(t_innermost, this)) {
  if (watchdog_ != nullptr) watchdog_->Add(this);
}

FileWork::~FileWork() {
  t_innermost = outer_;
  if (watchdog_ != nullptr) watchdog_->Remove(this);
}

void NoteFileProgress() {
  if (t_innermost != nullptr) t_innermost->last_progress_.store(FileWork::Clock::now());
}

}  // namespace sequela
