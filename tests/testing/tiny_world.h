// A small world for end-to-end tests: a few hundred simulated lives, their chain store, and an
// experiment that trains on it within seconds. Made by the program itself, once per test program.
#pragma once

#include <nlohmann/json.hpp>

#include <map>
#include <string>
#include <vector>

#include "tests/testing/program.h"
#include "tests/testing/temp_folder.h"

namespace sequela::testing {

class TinyWorld {
 public:
  // Simulates and ingests; throws std::runtime_error with the program's message where that fails.
  explicit TinyWorld(int subjects = 200);

  const TempFolder& folder() const { return folder_; }
  std::string meds() const { return folder_ / "meds"; }
  std::string store() const { return folder_ / "store"; }
  std::string experiment() const { return folder_ / "tiny.yaml"; }

  // The command line of a training run of `steps` steps into folder() / run_name.
  std::vector<std::string> TrainArguments(const std::string& run_name,
                                          const std::vector<std::string>& overrides = {}) const;

 private:
  TempFolder folder_;
};

// metrics.jsonl: one object a line, by step; only the fields that are deterministic (interfaces:
// step, tokens, targets, loss, gradient_norm, learning_rate and the results of evaluations).
std::vector<nlohmann::json> DeterministicMetrics(const std::string& run_folder);
// The training losses in order of steps.
std::vector<double> Losses(const std::string& run_folder);
// The bytes of a file.
std::string FileBytes(const std::string& path);
// The name of the newest checkpoint folder ("step-00000020"), or "" where there is none.
std::string NewestCheckpoint(const std::string& run_folder);

}  // namespace sequela::testing
