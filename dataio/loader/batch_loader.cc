#include "dataio/loader/batch_loader.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

#include "dataio/loader/packer.h"
#include "dataio/loader/sample_order.h"
#include "kernels/base/check.h"
#include "kernels/base/errors.h"

namespace sequela {
namespace {

using Clock = std::chrono::steady_clock;

void CheckOptions(const ChainStore& store, const LoaderOptions& options) {
  SEQUELA_CHECK(options.rank >= 0 && options.rank < options.num_ranks);
  SEQUELA_CHECK(options.token_weight.empty() ||
                options.token_weight.size() == static_cast<std::size_t>(store.vocabulary().size()));
  if (options.microbatch_tokens < options.context_length) {
    throw InputError(
        "parallel.microbatch_tokens: found {}, expected at least {}, "
        "data.context_length",
        options.microbatch_tokens, options.context_length);
  }
  if (options.global_batch_tokens < 1) {
    throw InputError("data.global_batch_tokens: found {}, expected at least 1",
                     options.global_batch_tokens);
  }
}

// A step that reads the whole split many times over is a mistyped number, whose batch would take
// all memory.
void CheckBatchAgainst(const WindowTable& table, const LoaderOptions& options) {
  constexpr std::int64_t kAlwaysAllowed = 1 << 20;  // small splits are for trying things out
  constexpr std::int64_t kMostEpochs = 100;
  const std::int64_t tokens = table.account().tokens;
  if (options.global_batch_tokens <= std::max(kAlwaysAllowed, kMostEpochs * tokens)) return;
  throw InputError(
      "data.global_batch_tokens: found {}, but the windows of the {} split have {} tokens: a step "
      "would read them more than {} times. Expected at most {}",
      options.global_batch_tokens, NameOf(options.split), tokens, kMostEpochs,
      std::max(kAlwaysAllowed, kMostEpochs * tokens));
}

// A row's window, remembering the order of the epoch that it asked for last.
class Rows {
 public:
  Rows(const WindowTable& table, const LoaderOptions& options)
      : table_(table), options_(options), order_(MakeOrder(0)) {}

  std::int64_t WindowOf(std::int64_t row) {
    const std::int64_t epoch = row / table_.size();
    if (epoch != epoch_) {
      order_ = MakeOrder(epoch);
      epoch_ = epoch;
    }
    return order_.At(row % table_.size());
  }

  // The windows of the step that begins at `row`: at least one.
  std::vector<std::int64_t> WindowsOfStep(std::int64_t row) {
    std::vector<std::int64_t> windows;
    for (std::int64_t tokens = 0;; ++row) {
      const std::int64_t window = WindowOf(row);
      tokens += table_[window].length;
      if (!windows.empty() && tokens > options_.global_batch_tokens) return windows;
      windows.push_back(window);
    }
  }

 private:
  SampleOrder MakeOrder(std::int64_t epoch) const {
    return {table_.size(), options_.seed, epoch, options_.shuffle};
  }

  const WindowTable& table_;
  const LoaderOptions& options_;
  SampleOrder order_;
  std::int64_t epoch_ = 0;
};

}  // namespace

struct BatchLoader::Impl {
  Impl(const ChainStore& store, const LoaderOptions& options_in, LoaderState start)
      : options(options_in),
        table(store, {.split = options.split,
                      .context_length = options.context_length,
                      .context_overlap = options.context_overlap}),
        rows(table, options),
        returned(start),
        prepared(start) {
    CheckBatchAgainst(table, options);
    if (options.prefetch_steps > 0) thread = std::thread([this] { PrefetchLoop(); });
  }

  ~Impl() {
    {
      const std::scoped_lock lock(mutex);
      stopping = true;
    }
    changed.notify_all();
    if (thread.joinable()) thread.join();
  }

  StepInput Prepare(LoaderState from) {
    const std::vector<std::int64_t> windows = rows.WindowsOfStep(from.row);
    StepInput input;
    std::vector<std::int64_t> lengths;
    for (const std::int64_t window : windows) {
      lengths.push_back(table[window].length);
      input.global_tokens += table[window].length;
    }
    input.global_windows = static_cast<std::int64_t>(windows.size());
    input.next_state.row = from.row + input.global_windows;
    const auto mine = DealToRanks(lengths, options.num_ranks,
                                  options.quadratic_length)[static_cast<std::size_t>(options.rank)];
    std::vector<std::int64_t> my_lengths;
    for (const std::int64_t i : mine) my_lengths.push_back(lengths[static_cast<std::size_t>(i)]);
    for (const auto& pack : PackIntoMicrobatches(my_lengths, options.microbatch_tokens)) {
      Batch& batch = input.microbatches.emplace_back();
      for (const std::int64_t i : pack) {
        const std::int64_t place = mine[static_cast<std::size_t>(i)];
        table.AppendTo(windows[static_cast<std::size_t>(place)], options.token_weight, &batch);
      }
    }
    if (input.microbatches.empty()) input.microbatches.emplace_back().document_begin = {0};
    return input;
  }

  void PrefetchLoop() {
    for (;;) {
      {
        std::unique_lock lock(mutex);
        changed.wait(lock, [this] {
          return stopping || queue.size() < static_cast<std::size_t>(options.prefetch_steps);
        });
        if (stopping) return;
      }
      try {
        StepInput input = Prepare(prepared);
        prepared = input.next_state;
        const std::scoped_lock lock(mutex);
        queue.push_back(std::move(input));
      } catch (...) {
        const std::scoped_lock lock(mutex);
        fault = std::current_exception();
      }
      changed.notify_all();
      if (fault) return;
    }
  }

  StepInput TakeFromQueue() {
    std::unique_lock lock(mutex);
    changed.wait(lock, [this] { return !queue.empty() || fault; });
    if (queue.empty()) std::rethrow_exception(fault);
    StepInput input = std::move(queue.front());
    queue.pop_front();
    return input;
  }

  const LoaderOptions options;
  const WindowTable table;
  Rows rows;             // used by whoever prepares
  LoaderState returned;  // after the last step that Next() returned
  LoaderState prepared;  // after the last step that was prepared
  std::thread thread;
  std::mutex mutex;  // guards what follows
  std::condition_variable changed;
  std::deque<StepInput> queue;
  std::exception_ptr fault;
  bool stopping = false;
};

BatchLoader::BatchLoader(const ChainStore& store, const LoaderOptions& options, LoaderState start) {
  CheckOptions(store, options);
  impl_ = std::make_unique<Impl>(store, options, start);
}

BatchLoader::~BatchLoader() = default;

StepInput BatchLoader::Next() {
  const Clock::time_point begin = Clock::now();
  StepInput input;
  if (impl_->thread.joinable()) {
    input = impl_->TakeFromQueue();
    impl_->changed.notify_all();
  } else {
    input = impl_->Prepare(impl_->returned);
  }
  impl_->returned = input.next_state;
  input.wait_seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  return input;
}

LoaderState BatchLoader::state() const { return impl_->returned; }
std::int64_t BatchLoader::windows_per_epoch() const { return impl_->table.size(); }
const WindowAccount& BatchLoader::account() const { return impl_->table.account(); }

std::int64_t BatchLoader::StepsForEpochs(double epochs) const {
  constexpr double kManyEpochs = 1000;
  constexpr double kManyRows = 1e8;  // seconds of counting
  const double rows = std::ceil(epochs * static_cast<double>(windows_per_epoch()));
  if (epochs > kManyEpochs && rows > kManyRows) {
    throw InputError(
        "schedule.epochs: found {}: {:.3g} windows to count the steps of. Expected at most {} "
        "epochs, or set schedule.steps instead",
        epochs, rows, kManyEpochs);
  }
  Rows walk(impl_->table, impl_->options);
  std::int64_t steps = 0;
  for (std::int64_t row = 0; static_cast<double>(row) < rows; ++steps) {
    row += static_cast<std::int64_t>(walk.WindowsOfStep(row).size());
  }
  return steps;
}

}  // namespace sequela
