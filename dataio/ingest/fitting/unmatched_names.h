// Codes and patterns that a user named and that stand for nothing in the data: most are misspelt.
#pragma once

#include <string>
#include <vector>

#include "dataio/ingest/ingest_settings.h"

namespace sequela {

// For each, where it was named, what it is and the nearest code of the data: of `kept`
// (--keep-codes) those that are no code, of the settings' patterns that are not the defaults those
// that match no code. `codes`: all of the data, sorted bytewise.
std::vector<std::string> UnmatchedNames(const std::vector<std::string>& codes,
                                        const IngestSettings& settings,
                                        const std::vector<std::string>& kept);

}  // namespace sequela
