#include "tests/testing/tiny_world.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace sequela::testing {
namespace {

namespace fs = std::filesystem;

constexpr char kExperiment[] = R"(seed: 7
data: {context_length: 128, global_batch_tokens: 2048}
model: {num_hidden_layers: 2, hidden_size: 32, intermediate_size: 64, num_attention_heads: 2,
        num_key_value_heads: 1, position: both}
optimizer: {learning_rate: 0.003}
schedule: {steps: 20, warmup_steps: 2, decay: cosine}
parallel: {device: cpu, precision: fp32, threads: 1}
checkpoint: {every_steps: 4, keep_last: 2}
evaluation: {every_steps: 10, max_windows: 8}
)";

void MustSucceed(const ProgramResult& result) {
  if (result.exit_code != 0) {
    throw std::runtime_error("exit code " + std::to_string(result.exit_code) + ": " +
                             result.errors);
  }
}

bool IsTiming(const std::string& key) {
  return key.ends_with("_seconds") || key == "tokens_per_second" ||
         key == "model_flops_utilization" || key == "matrix_rate_share";
}

}  // namespace

TinyWorld::TinyWorld(int subjects) {
  MustSucceed(
      RunProgram({"simulate", meds(), "--subjects", std::to_string(subjects), "--seed", "3"}));
  MustSucceed(RunProgram({"ingest", meds(), "--out", store()}));
  std::ofstream(experiment()) << kExperiment;
}

std::vector<std::string> TinyWorld::TrainArguments(
    const std::string& run_name, const std::vector<std::string>& overrides) const {
  std::vector<std::string> arguments = {"train", experiment(), "data.store=" + store(),
                                        "run.folder=" + (folder_ / run_name).string()};
  arguments.insert(arguments.end(), overrides.begin(), overrides.end());
  return arguments;
}

std::vector<nlohmann::json> DeterministicMetrics(const std::string& run_folder) {
  std::vector<nlohmann::json> lines;
  std::ifstream file(run_folder + "/metrics.jsonl");
  for (std::string line; std::getline(file, line);) {
    nlohmann::json object = nlohmann::json::parse(line);
    for (auto it = object.begin(); it != object.end();) {
      it = IsTiming(it.key()) ? object.erase(it) : std::next(it);
    }
    lines.push_back(object);
  }
  return lines;
}

std::vector<double> Losses(const std::string& run_folder) {
  std::vector<double> losses;
  for (const nlohmann::json& line : DeterministicMetrics(run_folder)) {
    if (!line.contains("split")) losses.push_back(line.at("loss").get<double>());
  }
  return losses;
}

std::string FileBytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string NewestCheckpoint(const std::string& run_folder) {
  std::string newest;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(run_folder + "/checkpoints", ignored)) {
    const std::string name = entry.path().filename();
    if (name.starts_with("step-") && fs::exists(entry.path() / "state.json")) {
      newest = std::max(newest, name);
    }
  }
  return newest;
}

}  // namespace sequela::testing
