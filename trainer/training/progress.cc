#include "trainer/training/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace sequela {

Progress::Progress(std::int64_t first_step, std::int64_t total_steps)
    : step_(first_step), total_steps_(total_steps) {}

void Progress::AddStep(double seconds, std::int64_t tokens, double loss) {
  ++step_;
  ++steps_seen_;
  // A running mean over about the last fifty steps, all of them at the beginning.
  const double share = 1.0 / static_cast<double>(std::min<std::int64_t>(steps_seen_, 50));
  mean_seconds_ += share * (seconds - mean_seconds_);
  mean_tokens_ += share * (static_cast<double>(tokens) - mean_tokens_);
  loss_sum_ += loss;
  ++steps_in_line_;
}

void Progress::BeginLine() {
  loss_sum_ = 0.0;
  steps_in_line_ = 0;
}

double Progress::SecondsLeft() const {
  return mean_seconds_ * static_cast<double>(total_steps_ - step_);
}

std::string Progress::Line() const {
  const double loss = loss_sum_ / static_cast<double>(steps_in_line_);
  std::string line = fmt::format("step {}/{}  loss {:.4f}", step_, total_steps_, loss);
  if (tuning_) line += fmt::format("  tuning {:.4f}", *tuning_);
  if (mean_seconds_ > 0) {
    line += fmt::format("  {} tokens/s", CountText(mean_tokens_ / mean_seconds_));
  }
  return line + fmt::format("  {} left", DurationText(SecondsLeft()));
}

std::string DurationText(double seconds) {
  const auto total = static_cast<std::int64_t>(std::llround(std::max(seconds, 0.0)));
  if (total < 60) return fmt::format("{}s", total);
  if (total < 3600) return fmt::format("{}m{:02}s", total / 60, total % 60);
  if (total < 86400) return fmt::format("{}h{:02}m", total / 3600, total / 60 % 60);
  return fmt::format("{}d{:02}h", total / 86400, total / 3600 % 24);
}

std::string CountText(double count) {
  if (count < 1e3) return fmt::format("{:.0f}", count);
  const char* units[] = {"k", "M", "G", "T"};
  int unit = 0;
  for (count /= 1e3; count >= 999.5 && unit < 3; ++unit) count /= 1e3;
  return fmt::format("{:.{}f}{}", count, count < 9.995 ? 2 : count < 99.95 ? 1 : 0, units[unit]);
}

}  // namespace sequela
