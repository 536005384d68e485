// Which columns of a MEDS dataset are read, and as what.
#pragma once

#include <string>
#include <vector>

#include "dataio/ingest/ingest_settings.h"
#include "dataio/meds/event_file.h"

namespace sequela {

// `modifiers`: code_modifier_columns of the dataset. Throws InputError where a setting names a
// column that is read already.
EventColumns ColumnsOf(const IngestSettings& settings, const std::vector<std::string>& modifiers,
                       bool keep_text);

}  // namespace sequela
