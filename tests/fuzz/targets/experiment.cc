// An experiment's YAML; or, behind a first byte '=', one override "key.path=value".
#include "kernels/base/check.h"
#include "tests/fuzz/target.h"
#include "trainer/experiment/experiment_fields.h"
#include "trainer/experiment/experiment_yaml.h"

namespace sequela::testing {

void ReadExperiment(std::string_view input) {
  Experiment experiment;
  if (input.starts_with('=')) {
    ApplyOverride(input.substr(1), experiment);
  } else {
    experiment = ParseExperiment(input, "experiment.yaml");
  }
  const std::string written = ExperimentToYaml(experiment);
  const Experiment again = ParseExperiment(written, "experiment.yaml");
  SEQUELA_CHECK(ExperimentToYaml(again) == written, "{}", written);
  SEQUELA_CHECK(ResultHash(again, "") == ResultHash(experiment, ""), "{}", written);
  CheckExperiment(experiment);
}

}  // namespace sequela::testing
