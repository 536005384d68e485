// A vocabulary fitted earlier, with the settings it was fitted under.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "dataio/ingest/ingest_settings.h"
#include "dataio/store/vocabulary.h"

namespace sequela {

struct FrozenVocabulary {
  Vocabulary vocabulary;
  IngestSettings settings;
  std::map<std::string, std::vector<std::string>> parents;  // parent codes as known there
  std::map<std::string, double> train_shares;               // of all train events, by code
};

// `place`: a store's folder, or a run's (dataio/store/run_store.h finds the store). Throws InputError.
FrozenVocabulary LoadFrozenVocabulary(const std::filesystem::path& place);

}  // namespace sequela
