#include "dataio/simulator/simulator_oracle.h"

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "dataio/simulator/oracle/chain_walk.h"
#include "dataio/simulator/oracle/token_masses.h"
#include "kernels/base/check.h"
#include "kernels/base/errors.h"
#include "kernels/base/json_text.h"

namespace sequela {
namespace {

ProcessParameters ReadSimulation(const std::string& text) {
  try {
    const auto json = ParseJsonText(text, "manifest.json, \"simulation\"");
    if (json.at("format") != "sequela-simulation" || json.at("version") != 1) {
      throw InputError(
          "manifest.json, \"simulation\": format {} version {}; this sequela knows "
          "sequela-simulation version 1",
          json.at("format").dump(), json.at("version").dump());
    }
    if (!json.at("unkind").empty()) {
      throw InputError(
          "the dataset was simulated with --corruption {}: the oracle covers records without "
          "corruptions only",
          json.at("unkind").dump());
    }
    return ProcessParameters::FromJson(json.at("process").dump());
  } catch (const nlohmann::json::exception& error) {
    throw InputError("manifest.json, \"simulation\": {}", error.what());
  }
}

// Settings of ingest under which the distribution of the tokens is another than what is computed
// here.
void CheckTokenization(const std::string& text) {
  const auto json = ParseJsonText(text, "manifest.json, \"tokenization\"");
  const auto require = [&](const char* key, const nlohmann::json& expected) {
    if (json.is_object() && json.contains(key) && json[key] != expected) {
      throw InputError("manifest.json, \"tokenization\": {} is {}; the oracle covers only {}", key,
                       json[key].dump(), expected.dump());
    }
  };
  require("order", "canonical");
  require("value_tokens", "joint");
  require("values", nlohmann::json::array());
  require("gap_tokens", true);
  require("date_only", "report");
}

}  // namespace

struct SimulatorOracle::Impl {
  Impl(const std::string& simulation_json, const Vocabulary& vocabulary_in,
       const std::vector<CodeEntry>& codes)
      : process(ReadSimulation(simulation_json)),
        vocabulary(&vocabulary_in),
        masses(process, vocabulary_in, codes) {
    for (const std::string& code : process.parameters().outcomes) {
      anchors.push_back(process.FindAnchor(code));
      outcomes.push_back({code, masses.AnchorToken(anchors.back())});
    }
  }

  void Distribution(const ChainWalk& walk, std::vector<double>* distribution) const {
    if (walk.begins_timestamp()) {
      masses.AnchorDistribution(walk.state(), walk.time_us(), distribution);
    } else {
      masses.ContinuationDistribution(walk.state(), distribution);
    }
  }

  LifeProcess process;
  const Vocabulary* vocabulary;
  TokenMasses masses;
  std::vector<int> anchors;  // of the outcomes
  std::vector<Outcome> outcomes;
};

SimulatorOracle SimulatorOracle::ForStore(const ChainStore& store) {
  const auto simulation = store.simulation_json();
  if (!simulation) {
    throw InputError(
        "{}: not ingested from a simulated dataset, so that its truth is unknown; "
        "`sequela simulate` makes one",
        store.folder().string());
  }
  const auto manifest = ParseJsonText(store.manifest_json(), store.folder() / "manifest.json");
  return SimulatorOracle(*simulation, manifest.value("tokenization", nlohmann::json()).dump(),
                         store.vocabulary(), store.codes());
}

SimulatorOracle::SimulatorOracle(const std::string& simulation_json,
                                 const std::string& tokenization_json, const Vocabulary& vocabulary,
                                 const std::vector<CodeEntry>& codes) {
  CheckTokenization(tokenization_json);
  impl_ = std::make_unique<Impl>(simulation_json, vocabulary, codes);
}

SimulatorOracle::SimulatorOracle(SimulatorOracle&&) noexcept = default;
SimulatorOracle& SimulatorOracle::operator=(SimulatorOracle&&) noexcept = default;
SimulatorOracle::~SimulatorOracle() = default;

const LifeProcess& SimulatorOracle::process() const { return impl_->process; }

const std::vector<SimulatorOracle::Outcome>& SimulatorOracle::outcomes() const {
  return impl_->outcomes;
}

void SimulatorOracle::LogProbabilities(const ChainView& chain, std::vector<double>* out) const {
  std::vector<double> entropy;
  LogProbabilities(chain, out, &entropy);
}

void SimulatorOracle::LogProbabilities(const ChainView& chain, std::vector<double>* out,
                                       std::vector<double>* entropy) const {
  constexpr double kNoTarget = std::numeric_limits<double>::quiet_NaN();
  out->assign(static_cast<std::size_t>(chain.size()), kNoTarget);
  entropy->assign(static_cast<std::size_t>(chain.size()), kNoTarget);
  std::vector<double> distribution;
  ChainWalk walk(impl_->process, impl_->masses, *impl_->vocabulary, chain);
  while (walk.Next()) {
    impl_->Distribution(walk, &distribution);
    double sum = 0;
    for (const double p : distribution) {
      sum -= p > 0 ? p * std::log(p) : 0;
    }
    const auto at = static_cast<std::size_t>(walk.position());
    (*entropy)[at] = sum;
    (*out)[at] = std::log(distribution[static_cast<std::size_t>(walk.token())]);
  }
}

void SimulatorOracle::TokenDistribution(const ChainView& chain, std::int64_t position,
                                        std::vector<double>* distribution) const {
  ChainWalk walk(impl_->process, impl_->masses, *impl_->vocabulary, chain);
  while (walk.Next() && walk.position() < position) {
  }
  SEQUELA_CHECK(walk.position() == position, "token {} is no target", position);
  impl_->Distribution(walk, distribution);
}

void SimulatorOracle::OutcomeProbabilities(const ChainView& chain, OutcomeDistribution* out) const {
  out->position.clear();
  out->probability.clear();
  std::vector<double> distribution;
  ChainWalk walk(impl_->process, impl_->masses, *impl_->vocabulary, chain);
  while (walk.Next()) {
    if (!walk.begins_timestamp()) {
      continue;
    }
    impl_->Distribution(walk, &distribution);
    out->position.push_back(walk.position());
    for (const Outcome& outcome : impl_->outcomes) {
      out->probability.push_back(distribution[static_cast<std::size_t>(outcome.token)]);
    }
  }
}

LifeState SimulatorOracle::StateBefore(const ChainView& chain, std::int64_t position) const {
  ChainWalk walk(impl_->process, impl_->masses, *impl_->vocabulary, chain);
  while (walk.Next() && walk.position() < position) {
  }
  return walk.state();
}

double BinaryExcess(double truth, double model) {
  const auto part = [](double p, double q) { return p > 0 ? p * std::log(p / q) : 0.0; };
  return part(truth, model) + part(1 - truth, 1 - model);
}

}  // namespace sequela
