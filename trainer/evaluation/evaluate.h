// Evaluation of a trained run on a split: the model's NLL and ranks, beside counting baselines and,
// where the data is simulated, the truth, all on the same targets.
#pragma once

#include <filesystem>
#include <optional>

#include "dataio/store/chain_store.h"
#include "runtime/world.h"
#include "trainer/evaluation/evaluation_report.h"
#include "trainer/experiment/run_folder.h"

namespace sequela {

struct EvaluationRequest {
  Split split = Split::kHeldOut;
  std::filesystem::path store{};       // empty: the run's own
  std::optional<std::int64_t> step{};  // this checkpoint; else the best on tuning, else the newest
  bool newest = false;                 // the newest, even where a best one is known
};

// Collective; the same report on every rank and for every number of ranks. Throws InputError where
// run, checkpoint or store do not fit together, or the split has no targets.
EvaluationReport Evaluate(const StoredRun& run, const EvaluationRequest& request, World& world);

}  // namespace sequela
