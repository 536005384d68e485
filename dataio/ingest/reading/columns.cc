#include "dataio/ingest/reading/columns.h"

#include <set>

#include "dataio/base/utf8.h"
#include "kernels/base/errors.h"
#include "kernels/base/printable_text.h"

namespace sequela {

EventColumns ColumnsOf(const IngestSettings& settings, const std::vector<std::string>& modifiers,
                       bool keep_text) {
  EventColumns columns;
  columns.modifiers = modifiers;
  columns.read_text = settings.text_results || keep_text;
  columns.code_parts = settings.code_columns;
  columns.events = settings.event_columns;
  columns.stay = settings.stay_column;
  std::set<std::string> joined = {columns.subject, columns.time, columns.code, columns.value,
                                  columns.text};
  std::set<std::string> made = joined;
  joined.insert(columns.modifiers.begin(), columns.modifiers.end());
  const auto refuse_twice = [](std::set<std::string>& taken, const std::string& name,
                               const char* setting) {
    if (!IsUtf8(name)) throw InputError("{}: '{}' is not UTF-8.", setting, Printable(name));
    if (taken.insert(name).second) return;
    throw InputError(
        "{}: '{}' is read already: MEDS's own columns are, code_modifier_columns are joined to "
        "the code, and every name stands once. Leave it out.",
        setting, Printable(name));
  };
  for (const std::string& name : columns.code_parts) refuse_twice(joined, name, "code_columns");
  for (const std::string& name : columns.events) refuse_twice(made, name, "event_columns");
  if (!IsUtf8(columns.stay)) {
    throw InputError("stay_column: '{}' is not UTF-8.", Printable(columns.stay));
  }
  return columns;
}

}  // namespace sequela
