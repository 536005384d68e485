// A few threads that share a list of tasks.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace sequela {

// Calls run(worker, task) once for each task in [0, tasks), handed out in ascending order to
// `workers` threads. The first exception stops the handing out and is thrown again here.
inline void RunTasks(int workers, std::int64_t tasks,
                     const std::function<void(int worker, std::int64_t task)>& run) {
  std::atomic<std::int64_t> next{0};
  std::exception_ptr failure;
  std::mutex mutex;
  const auto work = [&](int worker) {
    try {
      for (std::int64_t task = next++; task < tasks; task = next++) run(worker, task);
    } catch (...) {
      next = tasks;
      const std::lock_guard lock(mutex);
      if (!failure) failure = std::current_exception();
    }
  };
  std::vector<std::jthread> threads;
  for (int worker = 1; worker < workers; ++worker) threads.emplace_back(work, worker);
  work(0);
  threads.clear();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace sequela
