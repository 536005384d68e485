// One line that says where a run is and when it will be done. Shown by runtime/log.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace sequela {

// One thread at a time.
class Progress {
 public:
  // The steps before `first_step` were done by an earlier start and do not count for the rate.
  Progress(std::int64_t first_step, std::int64_t total_steps);

  void AddStep(double seconds, std::int64_t tokens, double loss);
  void SetTuning(double nll_per_token) { tuning_ = nll_per_token; }

  // At most 80 columns: "step 120/3000  loss 2.1342  tuning 2.2034  14.2k tokens/s  3m12s left".
  // Loss: the mean of the steps since BeginLine; rate: a running mean over about fifty steps.
  std::string Line() const;
  // The line was shown; the next one begins.
  void BeginLine();
  double SecondsLeft() const;

 private:
  std::int64_t step_;
  std::int64_t total_steps_;
  std::int64_t steps_seen_ = 0;
  double mean_seconds_ = 0.0;
  double mean_tokens_ = 0.0;
  double loss_sum_ = 0.0;           // since BeginLine
  std::int64_t steps_in_line_ = 0;  // likewise
  std::optional<double> tuning_;
};

std::string DurationText(double seconds);  // "42s", "3m12s", "5h07m", "2d03h"
std::string CountText(double count);       // "734", "14.2k", "3.10M", "7.20G"

}  // namespace sequela
