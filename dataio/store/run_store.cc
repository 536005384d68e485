#include "dataio/store/run_store.h"

#include <system_error>

#include "dataio/base/settings_reader.h"
#include "dataio/store/manifest.h"
#include "kernels/base/atomic_file.h"
#include "kernels/base/errors.h"
#include "kernels/base/json_fields.h"
#include "kernels/base/json_text.h"
#include "kernels/base/path_names.h"

namespace sequela {
namespace {

namespace fs = std::filesystem;

// data.store of a run's experiment.yaml.
fs::path GivenStore(const fs::path& experiment) {
  for (const auto& [section, value] : YamlValue::Load(experiment).AsMap()) {
    if (section != "data") continue;
    for (const auto& [key, store] : value.AsMap()) {
      if (key == "store" && !store.AsString().empty()) return store.AsString();
    }
  }
  throw InputError("{}: names no data.store.", experiment.string());
}

// What lies at a place: the hash of a store's content, or why there is none, for the message.
struct Found {
  std::string content_hash;
  std::string text;
};

Found LookAt(const fs::path& folder) {
  try {
    const fs::path file = folder / "manifest.json";
    if (!PathExists(file)) return {"", "no chain store lies there"};
    const std::string hash = ParseManifest(ReadFile(file), file).content_hash;
    return {hash, fmt::format("holds content {}", hash)};
  } catch (const InputError& error) {
    return {"", fmt::format("cannot be read ({})", error.what())};
  }
}

}  // namespace

fs::path FindStoreOfRun(const fs::path& run) {
  const fs::path given = GivenStore(run / "experiment.yaml");
  const std::string name = (run / "run.json").string();
  const nlohmann::json document = ReadJsonFile(run / "run.json");
  const JsonField json(document, name);
  const std::string& wanted = json["store_content_hash"].String();
  const Found at_given = LookAt(given);
  if (at_given.content_hash == wanted) return given;
  std::string places = fmt::format("  data.store, {}: {}\n", given.string(), at_given.text);
  // Runs of earlier versions recorded no path.
  if (const fs::path recorded = json.Has("store_path") ? json["store_path"].String() : "";
      !recorded.empty()) {
    const Found at_recorded = LookAt(recorded);
    if (at_recorded.content_hash == wanted) return recorded;
    places += fmt::format("  when it was trained, {}: {}\n", recorded.string(), at_recorded.text);
  }
  throw InputError(
      "{}: the chain store that this run was trained on (content {}) is not where it was:\n{}"
      "Put it back, or name a store of the same vocabulary: sequela evaluate RUN --store FOLDER, "
      "sequela ingest ... --vocabulary FOLDER",
      run.string(), wanted, places);
}

std::string RecordedStorePath(const fs::path& store) {
  std::error_code error;
  const fs::path path = fs::absolute(WithoutTrailingSlash(store), error);
  return error ? std::string() : path.string();
}

}  // namespace sequela
