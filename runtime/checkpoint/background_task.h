// One piece of work on a thread of its own, whose exception comes back to the thread that joins it.
#pragma once

#include <atomic>
#include <exception>
#include <functional>
#include <thread>
#include <utility>

namespace sequela {

// One thread at a time (besides the work itself).
class BackgroundTask {
 public:
  BackgroundTask() = default;
  ~BackgroundTask() {
    if (thread_.joinable()) thread_.join();
  }
  BackgroundTask(const BackgroundTask&) = delete;
  BackgroundTask& operator=(const BackgroundTask&) = delete;

  // REQUIRES: the work before was joined.
  void Run(std::function<void()> work) {
    done_ = false;
    error_ = nullptr;
    thread_ = std::thread([this, work = std::move(work)] {
      try {
        work();
      } catch (...) {
        error_ = std::current_exception();
      }
      done_.store(true, std::memory_order_release);
    });
  }
  bool done() const { return done_.load(std::memory_order_acquire); }
  // Waits for the work and throws what it threw.
  void Join() {
    thread_.join();
    if (error_) std::rethrow_exception(error_);
  }

 private:
  std::thread thread_;
  std::atomic<bool> done_ = false;
  std::exception_ptr error_;
};

}  // namespace sequela
