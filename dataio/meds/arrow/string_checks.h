// Strings as read against what MEDS asks of them.
#pragma once

#include "dataio/meds/arrow/event_columns.h"
#include "dataio/meds/event_file.h"

namespace sequela {

// Throws InputError naming place and row for a code that is null, empty, not UTF-8 or longer than
// kMaxCodeBytes.
void RefuseBadCodes(const StringColumn& codes, const ColumnPlace& place);
// The same for strings that become codes or parts of them and are not UTF-8.
void RefuseInvalid(const StringColumn& strings, const ColumnPlace& place);
void CountInvalidTexts(const StringColumn& texts, EventReadCounts& counts);

}  // namespace sequela
