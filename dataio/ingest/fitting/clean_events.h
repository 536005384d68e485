// The second pass: the raw events of a partition as whole subjects, sorted and repaired.
#pragma once

#include <functional>
#include <optional>
#include <unordered_map>
#include <vector>

#include "dataio/ingest/fitting/code_rules.h"
#include "dataio/ingest/ingest_settings.h"
#include "dataio/ingest/reading/counts.h"
#include "dataio/ingest/reading/event_records.h"
#include "dataio/ingest/reading/source_files.h"

namespace sequela {

// How subjects get their splits (docs/records.md).
struct SplitRules {
  std::optional<std::unordered_map<std::int64_t, Split>> given;  // a file says
  bool use_folders = true;  // paths of files say (some may not)
  int folds = 0;            // 0: no folds
  int fold = 0;
  std::string given_name;  // of the file, for messages
};

struct CleanContext {
  const IngestSettings& settings;
  const std::vector<CodeRule>& rules;  // by code
  const SplitRules& splits;
  const std::vector<SourceFile>& files;
};

// `raw`: code and text already ranks; taken apart. `extras`: of their rows. Throws InputError (a
// death without a time; a subject in two splits) naming file and row.
CleanPartition CleanEvents(std::vector<RawEvent> raw, std::vector<RowExtra> extras,
                           const CleanContext& context, Findings& findings);

// Whether a value may become a value token.
inline bool IsPlausible(const CodeRule& rule, float value) {
  return !rule.has_value_rule || (value >= rule.minimum && value <= rule.maximum);
}

}  // namespace sequela
