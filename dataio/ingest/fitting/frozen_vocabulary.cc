#include "dataio/ingest/fitting/frozen_vocabulary.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "dataio/store/chain_store.h"
#include "dataio/store/run_store.h"
#include "kernels/base/errors.h"
#include "kernels/base/json_text.h"
#include "kernels/base/path_names.h"

namespace sequela {
namespace {

namespace fs = std::filesystem;

fs::path StoreOf(const fs::path& place) {
  if (!IsFolder(place)) {
    throw InputError("{}: no such folder. --vocabulary takes a store's or a run's folder.",
                     place.string());
  }
  if (PathExists(place / "manifest.json") || !PathExists(place / "experiment.yaml")) return place;
  return FindStoreOfRun(place);
}

}  // namespace

FrozenVocabulary LoadFrozenVocabulary(const fs::path& place) {
  const ChainStore store = ChainStore::Open(StoreOf(place));
  FrozenVocabulary frozen;
  frozen.vocabulary = store.vocabulary();
  const auto manifest = ParseJsonText(store.manifest_json(), store.folder() / "manifest.json");
  frozen.settings = IngestSettingsFromJson(manifest.at("tokenization").dump());
  double events = 0.0;
  for (const CodeEntry& entry : store.codes()) events += static_cast<double>(entry.train_events);
  for (const CodeEntry& entry : store.codes()) {
    frozen.train_shares[entry.code] =
        static_cast<double>(entry.train_events) / std::max(events, 1.0);
    if (!entry.parent_codes.empty()) frozen.parents[entry.code] = entry.parent_codes;
  }
  return frozen;
}

}  // namespace sequela
