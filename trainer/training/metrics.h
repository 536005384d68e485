// What a run records while it goes on: metrics.jsonl, one JSON object a line, and TensorBoard
// events beside it. Both only grow; a resume drops what came after its checkpoint's step.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace sequela {

// One optimizer step. The first six are functions of the experiment alone; the rest are timings.
struct StepMetrics {
  std::int64_t step = 0;     // 1 is the first
  std::int64_t tokens = 0;   // of this step's global batch
  std::int64_t targets = 0;  // likewise
  double loss = 0.0;         // nats, mean over the batch's target weight
  double gradient_norm = 0.0;
  double learning_rate = 0.0;
  double tokens_per_second = 0.0;
  double model_flops_utilization = 0.0;  // of the device's theoretical peak; NaN: not known
  double matrix_rate_share = 0.0;        // of the device's measured rate of matrix products
  double data_wait_seconds = 0.0;
  double communication_wait_seconds = 0.0;
  double checkpoint_wait_seconds = 0.0;
  double step_seconds = 0.0;
};

using NamedNumber = std::pair<std::string_view, double>;

// A line of metrics.jsonl without its newline. Numbers read back bit for bit; what is not finite is
// written as null.
std::string StepLine(const StepMetrics& metrics);
std::string EvaluationLine(std::int64_t step, std::string_view split,
                           std::span<const NamedNumber> results);

// One thread at a time; on one rank.
class MetricsLog {
 public:
  // Opens or creates the files in `run_folder`, cut after the lines of step `resume_step`
  // (0: a new run). Throws MachineError where they cannot be written.
  MetricsLog(const std::filesystem::path& run_folder, std::int64_t resume_step, bool tensorboard,
             std::int64_t tensorboard_every_steps);
  ~MetricsLog();

  void WriteStep(const StepMetrics& metrics);
  void WriteEvaluation(std::int64_t step, std::string_view split,
                       std::span<const NamedNumber> results);
  void Sync();  // to the disk: before a checkpoint promises the lines up to its step

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sequela
