#include "dataio/ingest/csv/bound_events.h"

#include <algorithm>

#include "kernels/base/int_math.h"

namespace sequela {
namespace {

BoundEvent Bind(const CsvEvent& event, std::uint32_t number, ColumnList& columns) {
  BoundEvent bound;
  bound.event = &event;
  for (const CodeTemplate& code : event.codes) {
    auto& places = bound.code_columns.emplace_back();
    for (const std::string& name : code.columns()) places.push_back(columns.Add(name));
  }
  if (event.value) bound.value = columns.Add(*event.value);
  if (event.text) bound.text = columns.Add(*event.text);
  if (event.time_column) bound.time = columns.Add(*event.time_column, false);
  if (event.birth_age) bound.age = columns.Add(*event.birth_age);
  for (const std::string& name : event.offset_columns) bound.offsets.push_back(columns.Add(name));
  for (const CsvCondition& condition : event.conditions) {
    bound.conditions.push_back(columns.Add(condition.column));
  }
  bound.sequence = static_cast<std::uint32_t>(std::clamp(event.order, 0, 1000)) << 20 | number;
  return bound;
}

}  // namespace

std::size_t ColumnList::Add(const std::string& name, bool as_text) {
  const auto found = std::find_if(columns_.begin(), columns_.end(),
                                  [&](const WantedColumn& column) { return column.name == name; });
  const auto place = static_cast<std::size_t>(found - columns_.begin());
  if (found == columns_.end()) columns_.push_back({name, false});
  columns_[place].as_text = columns_[place].as_text || as_text;
  return place;
}

std::vector<BoundEvent> BindEvents(const CsvTable& table, std::uint32_t number,
                                   ColumnList& columns) {
  std::vector<BoundEvent> events;
  for (const CsvEvent& event : table.events) {
    events.push_back(Bind(event, number, columns));
    events.back().number = narrow<std::uint16_t>(events.size() - 1);
  }
  return events;
}

}  // namespace sequela
