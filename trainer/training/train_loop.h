// Training: the loop on one screen (train_loop.cc) over the parts of a run (run/training_run.h).
#pragma once

#include "runtime/world.h"
#include "trainer/experiment/experiment.h"
#include "trainer/training/train_options.h"

namespace sequela {

// Trains as the experiment says, in experiment.run.folder; goes on where that folder's newest
// checkpoint stands. Collective: every rank of the world calls it alike.
// Throws InputError before anything is written where settings, store or folder do not fit;
// StopRequested after a checkpoint where a signal or the time limit ended it; MachineError.
void Train(const Experiment& experiment, const TrainOptions& options, World& world);

}  // namespace sequela
