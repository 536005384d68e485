#include "dataio/ingest/csv/csv_anchors.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <optional>
#include <tuple>
#include <unordered_set>
#include <vector>

#include "dataio/ingest/csv/csv_values.h"
#include "dataio/meds/text_table.h"
#include "kernels/base/errors.h"

namespace sequela {
namespace {

constexpr std::int64_t kMinuteUs = 60'000'000;
constexpr std::int64_t kDayUs = 86'400'000'000;

struct Row {
  std::string key;
  std::int64_t subject_id = 0;
  std::string group;
  std::int64_t year = 0;
  std::int64_t day_us = 0;        // time of day
  std::int64_t start_offset = 0;  // minutes
  std::int64_t end_offset = 0;
  std::vector<std::pair<double, std::string>> order;
};

std::int64_t NewYear(std::int64_t year) {
  const std::chrono::sys_days day = std::chrono::year_month_day(
      std::chrono::year(static_cast<int>(year)), std::chrono::January, std::chrono::day(1));
  return day.time_since_epoch().count() * kDayUs;
}

std::int64_t DayOf(std::int64_t time_us) {
  return time_us - ((time_us % kDayUs) + kDayUs) % kDayUs;
}

// A whole number of a row's column. Throws InputError.
std::int64_t WholeNumber(const CsvMapping& mapping, const TextBatch& batch, std::size_t row,
                         std::size_t column, const std::string& name) {
  const double value = NumberOf(mapping.numbers, batch.columns[column].text[row]);
  if (!(std::abs(value) <= 1e9) || value != std::floor(value)) {
    throw InputError(
        "{}, column '{}': no whole number. The table of anchors needs one in each row.",
        batch.Place(row), name);
  }
  return static_cast<std::int64_t>(value);
}

Row ReadRow(const CsvMapping& mapping, const TextBatch& batch, std::size_t i,
            const std::vector<WantedColumn>& columns, SubjectIds& subjects) {
  const CsvAnchors& a = *mapping.anchors;
  const auto number = [&](std::size_t column) {
    return WholeNumber(mapping, batch, i, column, columns[column].name);
  };
  const std::optional<std::int64_t> subject = subjects.IdOf(batch.columns[1].text[i], batch, i);
  const std::optional<std::int64_t> time_of_day = TimeOfDay(batch.columns[4].text[i]);
  Row row{PlainId(batch.columns[0].text[i], batch, i),
          0,
          PlainId(batch.columns[2].text[i], batch, i),
          number(3),
          0,
          number(5),
          number(6),
          {}};
  if (row.key.empty() || !subject || row.group.empty()) {
    throw InputError(
        "{}: '{}', '{}' or '{}' is empty. The table of anchors needs them in each row.",
        batch.Place(i), a.key, a.subject, a.group);
  }
  if (!time_of_day) {
    throw InputError("{}, column '{}': no time of day (hh:mm:ss).", batch.Place(i), a.time_of_day);
  }
  if (row.year < 1000 || row.year > 9999) {
    throw InputError("{}, column '{}': no year of four digits.", batch.Place(i), a.year);
  }
  row.subject_id = *subject;
  row.day_us = *time_of_day;
  for (std::size_t j = 7; j < columns.size(); ++j) {
    const std::string_view text = Trim(batch.columns[j].text[i]);
    const double value = NumberOf(mapping.numbers, text);
    row.order.emplace_back(std::isnan(value) ? -1.0 : value,
                           std::isnan(value) ? std::string(text) : "");
  }
  return row;
}

std::vector<Row> ReadRows(const CsvMapping& mapping, SubjectIds& subjects) {
  const CsvAnchors& a = *mapping.anchors;
  std::vector<WantedColumn> columns;
  for (const std::string& name :
       {a.key, a.subject, a.group, a.year, a.time_of_day, a.start_offset, a.end_offset}) {
    columns.push_back({name});
  }
  for (const std::string& name : a.order_by) columns.push_back({name});
  std::vector<Row> rows;
  std::unordered_set<std::string> keys;
  ReadTextTable(mapping.folder / a.file, columns, a.delimiter, [&](const TextBatch& batch) {
    for (std::size_t i = 0; i < static_cast<std::size_t>(batch.rows); ++i) {
      rows.push_back(ReadRow(mapping, batch, i, columns, subjects));
      if (keys.insert(rows.back().key).second) continue;
      throw InputError("{}, column '{}': a key that an earlier row has. Anchors' keys are unique.",
                       batch.Place(i), a.key);
    }
  });
  return rows;
}

// Before whom: longer since the group's start means later; ties by key.
bool StartsBefore(const Row& a, const Row& b) {
  return std::make_tuple(-a.start_offset, NumberOf({}, a.key), a.key) <
         std::make_tuple(-b.start_offset, NumberOf({}, b.key), b.key);
}

using Group = std::vector<const Row*>;  // in order of their starts

void PlaceSubject(std::int64_t subject_id, std::vector<Group>& groups, Anchors& anchors) {
  std::sort(groups.begin(), groups.end(), [](const Group& a, const Group& b) {
    const Row& x = *a.front();
    const Row& y = *b.front();
    return std::make_tuple(x.order, NumberOf({}, x.group), x.group) <
           std::make_tuple(y.order, NumberOf({}, y.group), y.group);
  });
  bool first_group = true;
  std::int64_t previous_end = 0;
  for (const Group& group : groups) {
    const Row& first = *group.front();
    const std::int64_t lead = std::max<std::int64_t>(0, first.start_offset) * kMinuteUs;
    std::int64_t start = NewYear(first.year) + first.day_us;
    if (!first_group && start - lead < previous_end + 2 * kDayUs) {
      start = DayOf(previous_end + lead + 3 * kDayUs) + first.day_us;
    }
    for (const Row* row : group) {
      Anchor anchor;
      anchor.subject_id = subject_id;
      anchor.group_start_us = start;
      anchor.zero_us = start - row->start_offset * kMinuteUs;
      anchor.window_begin_us = std::min(start, anchor.zero_us) - kDayUs;
      anchor.window_end_us = anchor.zero_us + row->end_offset * kMinuteUs;
      anchor.first_of_group = row == group.front();
      anchor.first_of_subject = anchor.first_of_group && first_group;
      anchors[row->key] = anchor;
    }
    previous_end =
        start + std::max<std::int64_t>(first.end_offset - first.start_offset, 0) * kMinuteUs;
    first_group = false;
  }
}

}  // namespace

Anchors LoadAnchors(const CsvMapping& mapping, SubjectIds& ids) {
  const std::vector<Row> rows = ReadRows(mapping, ids);
  std::map<std::int64_t, std::map<std::string, Group>> subjects;
  for (const Row& row : rows) subjects[row.subject_id][row.group].push_back(&row);
  Anchors anchors;
  for (auto& [subject, by_group] : subjects) {
    std::vector<Group> groups;
    for (auto& [name, group] : by_group) {
      std::sort(group.begin(), group.end(),
                [](const Row* a, const Row* b) { return StartsBefore(*a, *b); });
      groups.push_back(std::move(group));
    }
    PlaceSubject(subject, groups, anchors);
  }
  return anchors;
}

}  // namespace sequela
