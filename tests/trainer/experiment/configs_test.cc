// ctest: labels=sanitize timeout=60
// Every experiment in configs/ loads, fits together and makes a model of the size that it claims.
#include <gtest/gtest.h>

#include <filesystem>

#include "kernels/base/atomic_file.h"
#include "trainer/experiment/decoder_settings.h"
#include "trainer/experiment/experiment_yaml.h"
#include "trainer/model/model_config.h"

namespace sequela {
namespace {

namespace fs = std::filesystem;

constexpr std::int32_t kVocabulary = 32768;  // what the files' arithmetic assumes

fs::path ConfigFile(const std::string& name) {
  return fs::path(SEQUELA_SOURCE_DIR) / "configs" / name;
}

std::int64_t ParametersOf(const std::string& name, std::int32_t vocabulary) {
  return CountParameters(ModelConfigOf(LoadExperiment(ConfigFile(name)), vocabulary));
}

// Mappings for ingest-csv and ingest lie beside the experiments; these have a model section.
bool IsExperiment(const fs::path& file) {
  return file.extension() == ".yaml" && ReadFile(file).find("\nmodel:") != std::string::npos;
}

TEST(Configs, AllLoad) {
  int experiments = 0;
  for (const auto& entry : fs::recursive_directory_iterator(ConfigFile(""))) {
    if (!entry.is_regular_file() || !IsExperiment(entry.path())) continue;
    SCOPED_TRACE(entry.path());
    ++experiments;
    EXPECT_NO_THROW(ModelConfigOf(LoadExperiment(entry.path()), kVocabulary));
  }
  EXPECT_GE(experiments, 7);
}

TEST(Configs, SizesAreWhatTheirNamesSay) {
  EXPECT_NEAR(ParametersOf("sizes/125m.yaml", kVocabulary), 110e6, 1e6);
  EXPECT_NEAR(ParametersOf("sizes/350m.yaml", kVocabulary), 342e6, 1e6);
  EXPECT_NEAR(ParametersOf("sizes/1b.yaml", kVocabulary), 1040e6, 1e6);
  EXPECT_NEAR(ParametersOf("sizes/7b.yaml", kVocabulary), 6745e6, 5e6);
  EXPECT_NEAR(ParametersOf("quickstart.yaml", 200), 0.83e6, 0.01e6);
}

}  // namespace
}  // namespace sequela
