#include "trainer/experiment/run_folder.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "kernels/base/atomic_file.h"
#include "kernels/base/errors.h"
#include "kernels/base/json_fields.h"
#include "kernels/base/json_text.h"
#include "kernels/base/path_names.h"
#include "kernels/base/writer_lock.h"
#include "trainer/experiment/experiment_fields.h"
#include "trainer/experiment/experiment_yaml.h"

namespace sequela {
namespace {

namespace fs = std::filesystem;

constexpr char kExperimentFile[] = "experiment.yaml";
constexpr char kIdentityFile[] = "run.json";
constexpr char kVocabularyFile[] = "vocabulary.json";

std::string IdentityToJson(const RunIdentity& identity) {
  const nlohmann::ordered_json json = {
      {"result_hash", identity.result_hash}, {"store_content_hash", identity.store_content_hash},
      {"store_path", identity.store_path},   {"vocabulary_hash", identity.vocabulary_hash},
      {"init_from", identity.init_from},     {"target_weights", identity.target_weights},
  };
  return JsonToText(json, 1) + "\n";
}

RunIdentity IdentityFromJson(const fs::path& file) {
  const std::string name = file.string();
  const nlohmann::json document = ReadJsonFile(file);
  const JsonField json(document, name);
  // Runs of earlier versions recorded no path.
  RunIdentity identity{json["store_content_hash"].String(),
                       json.Has("store_path") ? json["store_path"].String() : "",
                       json["vocabulary_hash"].String(),
                       json["result_hash"].String(),
                       json["init_from"].String(),
                       {}};
  const JsonField weights = json["target_weights"];
  for (std::size_t i = 0; i < weights.ArraySize(); ++i) {
    const auto weight = static_cast<float>(weights[i].Number());
    if (!(weight > 0.0F && std::isfinite(weight))) weights[i].Refuse("a loss weight above 0");
    identity.target_weights.push_back(weight);
  }
  return identity;
}

// What an interrupted CreateRun left, which wrote experiment.yaml last, counts as nothing: the lock
// file says that it was ours.
bool HoldsNothing(const fs::path& folder) {
  if (!PathExists(folder)) return true;
  if (!IsFolder(folder)) return false;
  const bool is_ours = WriterLock::IsMarked(folder);
  std::error_code error;
  const fs::directory_iterator content(folder, error);
  if (error) throw InputError("{}: cannot be read: {}", folder.string(), error.message());
  for (const auto& entry : content) {
    const std::string name = entry.path().filename().string();
    const bool begun = name.starts_with(WriterLock::kFileName) || name.starts_with(kIdentityFile) ||
                       name.starts_with(kVocabularyFile) ||
                       name.starts_with(std::string(kExperimentFile) + ".partial");
    if (!is_ours || !begun) return false;
  }
  return true;
}

}  // namespace

std::optional<StoredRun> FindRun(const fs::path& folder) {
  if (HoldsNothing(folder)) return std::nullopt;
  if (!IsFolder(folder)) {
    throw InputError("{}: expected a folder for the run, found a file", folder.string());
  }
  if (!PathExists(folder / kExperimentFile) || !PathExists(folder / kIdentityFile)) {
    throw InputError(
        "{}: this folder holds something that is no run of sequela train (no {}): name another "
        "run.folder",
        folder.string(), kExperimentFile);
  }
  StoredRun run;
  run.folder = folder;
  run.experiment = ParseExperiment(ReadFile(folder / kExperimentFile), folder / kExperimentFile);
  run.identity = IdentityFromJson(folder / kIdentityFile);
  return run;
}

StoredRun OpenRun(const fs::path& folder) {
  std::optional<StoredRun> run = FindRun(folder);
  if (!run) {
    throw InputError(
        "{}: there is no run here; `sequela train EXPERIMENT.yaml run.folder={}` "
        "makes one",
        folder.string(), folder.string());
  }
  return *std::move(run);
}

void CreateRun(const StoredRun& run, const Vocabulary& vocabulary) {
  try {
    WriteFileAtomically(run.folder / kVocabularyFile, vocabulary.ToJson());
    WriteFileAtomically(run.folder / kIdentityFile, IdentityToJson(run.identity));
    // Last: its presence makes the folder a run.
    WriteFileAtomically(run.folder / kExperimentFile, ExperimentToYaml(run.experiment));
  } catch (const MachineError&) {
    std::error_code ignored;
    for (const char* name : {kVocabularyFile, kIdentityFile}) {
      fs::remove(run.folder / name, ignored);
    }
    throw;
  }
}

void UpdateRun(const StoredRun& run) {
  WriteFileAtomically(run.folder / kExperimentFile, ExperimentToYaml(run.experiment));
  WriteFileAtomically(run.folder / kIdentityFile, IdentityToJson(run.identity));
}

void CheckSameVocabulary(const StoredRun& run, const ChainStore& store) {
  const std::size_t weights = run.identity.target_weights.size();
  if (weights != 0 && weights != static_cast<std::size_t>(store.vocabulary().size())) {
    throw InputError("{}: target_weights has {} numbers, the vocabulary of {} {} tokens",
                     (run.folder / kIdentityFile).string(), weights, store.folder().string(),
                     store.vocabulary().size());
  }
  if (store.vocabulary().hash() == run.identity.vocabulary_hash) return;
  throw InputError(
      "{}: this store's vocabulary (hash {}) is not the one that {} was trained on (hash {}).\n"
      "Ingest the data with that vocabulary: sequela ingest MEDS_DIR --out STORE --vocabulary {}",
      store.folder().string(), store.vocabulary().hash(), run.folder.string(),
      run.identity.vocabulary_hash, run.folder.string());
}

}  // namespace sequela
