// The folder of a run: experiment.yaml, run.json, vocabulary.json, metrics, checkpoints/,
// summary.json. It is a run once experiment.yaml is there; only rank 0 writes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "dataio/store/chain_store.h"
#include "trainer/experiment/experiment.h"

namespace sequela {

// What a run is tied to, in run.json.
struct RunIdentity {
  std::string store_content_hash;
  std::string store_path;  // absolute, at the last start (dataio/store/run_store.h)
  std::string vocabulary_hash;
  std::string result_hash;
  std::string init_from;  // the run or checkpoint that gave the first weights; empty: random ones
  // Loss weight of every token as a target; evaluation takes its logarithm off the logits. Empty
  // where objective.event_balance_alpha is 1.
  std::vector<float> target_weights;
};

// A run that lies in its folder.
struct StoredRun {
  std::filesystem::path folder;
  Experiment experiment;
  RunIdentity identity;
  std::filesystem::path checkpoints() const { return folder / "checkpoints"; }
};

// The run in `folder`; nothing where the folder is absent or holds nothing but
// what an interrupted start left. Throws InputError where it
// holds something else, or a damaged run.
std::optional<StoredRun> FindRun(const std::filesystem::path& folder);
// Like FindRun, but absence is an InputError too that says how a run is made.
StoredRun OpenRun(const std::filesystem::path& folder);

// Writes vocabulary.json, run.json and, last, experiment.yaml into the run's folder, which exists,
// holds nothing and is locked by the caller (kernels/base/writer_lock.h). Throws MachineError where
// it cannot be written, and leaves none of them.
void CreateRun(const StoredRun& run, const Vocabulary& vocabulary);
// Replaces experiment.yaml and run.json: a resume with changed speed fields or more steps.
void UpdateRun(const StoredRun& run);

// Throws InputError where the store's tokens are not those that the run was trained on, or the run
// does not weigh each of them.
void CheckSameVocabulary(const StoredRun& run, const ChainStore& store);

}  // namespace sequela
