#include "trainer/training/metrics.h"

#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "kernels/base/atomic_file.h"
#include "kernels/base/errors.h"
#include "kernels/base/json_fields.h"
#include "kernels/base/json_text.h"
#include "kernels/base/path_names.h"
#include "trainer/training/metrics/append_file.h"
#include "trainer/training/metrics/event_file.h"

namespace sequela {
namespace {

constexpr char kMetricsFile[] = "metrics.jsonl";
constexpr char kEventFile[] = "events.out.tfevents.0000000001.sequela";

std::string NumberText(double number) {
  return std::isfinite(number) ? fmt::format("{}", number) : "null";
}

double WallTimeSeconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string ContentOf(const std::filesystem::path& file) {
  return PathExists(file) ? ReadFile(file) : std::string();
}

// Bytes of the whole lines of steps up to `last_step`. What follows them is no longer true after a
// resume, whatever it is; a damaged line among them is not: throws InputError.
std::int64_t LineBytesUpTo(const std::filesystem::path& file, std::int64_t last_step) {
  const std::string text = ContentOf(file);
  std::size_t begin = 0;
  std::int64_t step = 0;  // of the line before
  std::int64_t number = 1;
  for (std::size_t end = text.find('\n'); end != std::string::npos; end = text.find('\n', begin)) {
    const std::string_view line = std::string_view(text).substr(begin, end - begin);
    try {
      const nlohmann::json json = ParseJsonText(line, file);
      step = JsonField(json, "")["step"].Integer(0, std::numeric_limits<std::int64_t>::max());
    } catch (const InputError&) {
      if (step >= last_step) break;
      throw InputError(
          "{}: line {} is damaged: no JSON object with a step. Move the file out of the run's "
          "folder to go on without the metrics so far",
          file.string(), number);
    }
    if (step > last_step) break;
    begin = end + 1;
    ++number;
  }
  return static_cast<std::int64_t>(begin);
}

}  // namespace

std::string StepLine(const StepMetrics& m) {
  std::string line =
      fmt::format(R"({{"step":{},"tokens":{},"targets":{})", m.step, m.tokens, m.targets);
  const NamedNumber numbers[] = {
      {"loss", m.loss},
      {"gradient_norm", m.gradient_norm},
      {"learning_rate", m.learning_rate},
      {"tokens_per_second", m.tokens_per_second},
      {"model_flops_utilization", m.model_flops_utilization},
      {"matrix_rate_share", m.matrix_rate_share},
      {"data_wait_seconds", m.data_wait_seconds},
      {"communication_wait_seconds", m.communication_wait_seconds},
      {"checkpoint_wait_seconds", m.checkpoint_wait_seconds},
      {"step_seconds", m.step_seconds},
  };
  for (const auto& [name, number] : numbers) {
    line += fmt::format(R"(,"{}":{})", name, NumberText(number));
  }
  return line + "}";
}

std::string EvaluationLine(std::int64_t step, std::string_view split,
                           std::span<const NamedNumber> results) {
  std::string line = fmt::format(R"({{"step":{},"split":"{}")", step, split);
  for (const auto& [name, number] : results) {
    line += fmt::format(R"(,"{}":{})", name, NumberText(number));
  }
  return line + "}";
}

struct MetricsLog::Impl {
  Impl(const std::filesystem::path& folder, std::int64_t resume_step)
      : lines(folder / kMetricsFile, LineBytesUpTo(folder / kMetricsFile, resume_step)) {}

  void OpenEvents(const std::filesystem::path& folder, std::int64_t resume_step) {
    const std::int64_t kept = EventBytesUpTo(ContentOf(folder / kEventFile), resume_step);
    events.emplace(folder / kEventFile, kept);
    if (kept == 0) events->Append(EventFileHeader(WallTimeSeconds()));
  }

  AppendFile lines;
  std::optional<AppendFile> events;
  std::int64_t events_every_steps = 1;
};

MetricsLog::MetricsLog(const std::filesystem::path& run_folder, std::int64_t resume_step,
                       bool tensorboard, std::int64_t tensorboard_every_steps)
    : impl_(std::make_unique<Impl>(run_folder, resume_step)) {
  impl_->events_every_steps = tensorboard_every_steps;
  if (tensorboard) impl_->OpenEvents(run_folder, resume_step);
}

MetricsLog::~MetricsLog() = default;

void MetricsLog::WriteStep(const StepMetrics& metrics) {
  impl_->lines.Append(StepLine(metrics) + "\n");
  if (!impl_->events || metrics.step % impl_->events_every_steps != 0) return;
  const Scalar scalars[] = {
      {"train/loss", metrics.loss},
      {"train/gradient_norm", metrics.gradient_norm},
      {"train/learning_rate", metrics.learning_rate},
      {"speed/tokens_per_second", metrics.tokens_per_second},
      {"speed/step_seconds", metrics.step_seconds},
  };
  impl_->events->Append(EventRecord(WallTimeSeconds(), metrics.step, scalars));
}

void MetricsLog::WriteEvaluation(std::int64_t step, std::string_view split,
                                 std::span<const NamedNumber> results) {
  impl_->lines.Append(EvaluationLine(step, split, results) + "\n");
  if (!impl_->events) return;
  std::vector<std::string> tags;
  std::vector<Scalar> scalars;
  for (const auto& [name, number] : results) tags.push_back(fmt::format("{}/{}", split, name));
  for (std::size_t i = 0; i < results.size(); ++i) scalars.emplace_back(tags[i], results[i].second);
  impl_->events->Append(EventRecord(WallTimeSeconds(), step, scalars));
}

void MetricsLog::Sync() {
  impl_->lines.Sync();
  if (impl_->events) impl_->events->Sync();
}

}  // namespace sequela
