#include "dataio/ingest/csv/csv_anchors.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <limits>
#include <map>
#include <tuple>
#include <vector>

#include "dataio/meds/text_table.h"
#include "kernels/base/errors.h"
#include "kernels/base/philox.h"

namespace sequela {
namespace {

constexpr std::int64_t kMinuteUs = 60'000'000;
constexpr std::int64_t kDayUs = 86'400'000'000;

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\r')) {
    text.remove_suffix(1);
  }
  return text;
}

struct Row {
  std::string key, subject, group;
  std::int64_t year = 0;
  std::int64_t day_us = 0;        // time of day
  std::int64_t start_offset = 0;  // minutes
  std::int64_t end_offset = 0;
  std::vector<std::pair<double, std::string>> order;
};

std::int64_t TimeOfDay(std::string_view text) {
  int hour = 0;
  int minute = 0;
  int second = 0;
  if (std::sscanf(std::string(text).c_str(), "%d:%d:%d", &hour, &minute, &second) < 2) return -1;
  return ((hour * 60LL + minute) * 60 + second) * 1'000'000;
}

std::int64_t NewYear(std::int64_t year) {
  const std::chrono::sys_days day = std::chrono::year_month_day(
      std::chrono::year(static_cast<int>(year)), std::chrono::January, std::chrono::day(1));
  return day.time_since_epoch().count() * kDayUs;
}

std::int64_t DayOf(std::int64_t time_us) {
  return time_us - ((time_us % kDayUs) + kDayUs) % kDayUs;
}

std::vector<Row> ReadRows(const CsvMapping& mapping) {
  const CsvAnchors& a = *mapping.anchors;
  std::vector<std::string> columns = {a.key,         a.subject,      a.group,     a.year,
                                      a.time_of_day, a.start_offset, a.end_offset};
  columns.insert(columns.end(), a.order_by.begin(), a.order_by.end());
  std::vector<Row> rows;
  const auto file = mapping.folder / a.file;
  ReadTextTable(file, columns, [&](const TextBatch& batch) {
    for (std::size_t i = 0; i < static_cast<std::size_t>(batch.rows); ++i) {
      const auto text = [&](std::size_t column) { return Trim(batch.columns[column].text[i]); };
      const auto number = [&](std::size_t column) {
        const double value = NumberOf(mapping, text(column));
        if (std::isnan(value)) {
          throw InputError("{}, row {}, column '{}': no number.", file.string(),
                           batch.first_row + static_cast<std::int64_t>(i), columns[column]);
        }
        return static_cast<std::int64_t>(value);
      };
      Row row{std::string(text(0)),
              std::string(text(1)),
              std::string(text(2)),
              number(3),
              TimeOfDay(text(4)),
              number(5),
              number(6),
              {}};
      if (row.day_us < 0) {
        throw InputError("{}, row {}, column '{}': no time of day (hh:mm:ss).", file.string(),
                         batch.first_row + static_cast<std::int64_t>(i), columns[4]);
      }
      for (std::size_t j = 7; j < columns.size(); ++j) {
        const double value = NumberOf(mapping, text(j));
        row.order.emplace_back(std::isnan(value) ? -1.0 : value,
                               std::isnan(value) ? std::string(text(j)) : "");
      }
      rows.push_back(std::move(row));
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

double NumberOf(const CsvMapping& mapping, std::string_view text) {
  text = Trim(text);
  const auto known = mapping.numbers.find(std::string(text));
  if (known != mapping.numbers.end()) text = known->second;
  if (text.starts_with('+')) text.remove_prefix(1);
  double value = 0.0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size() ||
      !std::isfinite(value)) {
    return std::numeric_limits<double>::quiet_NaN();
  }
  return value;
}

std::int64_t SubjectIdOf(const CsvMapping& mapping, std::string_view text) {
  text = Trim(text);
  std::int64_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error == std::errc() && end == text.data() + text.size()) return id;
  if (mapping.subject_pattern) {
    const std::vector<std::string> groups = mapping.subject_pattern->Groups(text);
    if (groups.size() >= 2) {
      return std::atoll(groups[0].c_str()) * mapping.subject_scale + std::atoll(groups[1].c_str());
    }
  }
  return static_cast<std::int64_t>(MixBits(HashName(text)) >> 1);
}

Anchors LoadAnchors(const CsvMapping& mapping) {
  const std::vector<Row> rows = ReadRows(mapping);
  std::map<std::string, std::map<std::string, Group>> subjects;
  for (const Row& row : rows) subjects[row.subject][row.group].push_back(&row);
  Anchors anchors;
  for (auto& [subject, by_group] : subjects) {
    std::vector<Group> groups;
    for (auto& [name, group] : by_group) {
      std::sort(group.begin(), group.end(),
                [](const Row* a, const Row* b) { return StartsBefore(*a, *b); });
      groups.push_back(std::move(group));
    }
    PlaceSubject(SubjectIdOf(mapping, subject), groups, anchors);
  }
  return anchors;
}

}  // namespace sequela
