// The weights that a run, a checkpoint or a folder of Hugging Face's gives to whoever reads them:
// evaluation, --init-from. Reading never needs the optimizer's files, nor that the run has ended.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "runtime/communicator.h"
#include "trainer/experiment/run_folder.h"
#include "trainer/model/hf_model.h"

namespace sequela {

struct WeightsChoice {
  std::optional<std::int64_t> step{};  // this checkpoint; else the best on tuning, else the newest
  bool newest = false;                 // the newest, even where a best one is known
};

struct RunWeights {
  std::filesystem::path folder;
  std::int64_t step = -1;  // -1: of no checkpoint of ours
  std::string choice;      // "as asked", "best on tuning", "newest"
  std::unique_ptr<OpenedModel> model;
};

// Collective: rank 0 chooses a checkpoint and checks its files, every rank opens it. One that the
// run replaces meanwhile is let go and the choice made again. Throws InputError where there is no
// such checkpoint or it is damaged.
RunWeights OpenRunWeights(const StoredRun& run, const WeightsChoice& choice,
                          Communicator& communicator);

// Collective. What --init-from names: a run (its best checkpoint), one checkpoint, or a folder with
// config.json and model.safetensors. Throws InputError.
RunWeights OpenInitialWeights(const std::filesystem::path& init_from, Communicator& communicator);

// The run that `init_from` is, or that it is a checkpoint of; nothing for other weights, of whose
// vocabulary nothing is known. Throws InputError where that run is damaged.
std::optional<StoredRun> RunOfWeights(const std::filesystem::path& init_from);

}  // namespace sequela
