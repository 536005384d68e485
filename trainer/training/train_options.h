// What the command line of `train` says beside the experiment.
#pragma once

#include <filesystem>

namespace sequela {

struct TrainOptions {
  bool dry_run = false;               // say what would be done; write nothing
  std::filesystem::path init_from{};  // a run, a checkpoint or a Hugging Face folder: first weights
};

}  // namespace sequela
