#include "dataio/meds/text_columns.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "dataio/base/settings_reader.h"
#include "kernels/base/errors.h"
#include "kernels/base/printable_text.h"

namespace sequela {
namespace {

constexpr std::size_t kMostNames = 40;

std::string ListOf(const std::vector<std::string>& names) {
  std::string list;
  for (std::size_t i = 0; i < std::min(names.size(), kMostNames); ++i) {
    list += fmt::format("{}'{}'", i == 0 ? "" : ", ", Printable(names[i]));
  }
  if (names.size() > kMostNames) list += fmt::format(" and {} more", names.size() - kMostNames);
  return list;
}

}  // namespace

std::vector<std::size_t> FindColumns(const std::vector<WantedColumn>& wanted,
                                     const std::vector<std::string>& present,
                                     const std::string& file, const std::string& advice) {
  std::vector<std::size_t> places;
  for (const WantedColumn& column : wanted) {
    const auto found = std::find(present.begin(), present.end(), column.name);
    if (found == present.end()) {
      const std::string nearest = NearestOf(column.name, present);
      throw InputError(
          "{}: no column '{}'{} {}", file, column.name,
          nearest.empty() ? "." : fmt::format("; did you mean '{}'?", Printable(nearest)),
          advice.empty() ? "Its columns: " + ListOf(present) + "." : advice);
    }
    if (std::find(found + 1, present.end(), column.name) != present.end()) {
      throw InputError(
          "{}: two columns are named '{}', and the mapping reads it. Rename one of them, so that "
          "it "
          "is clear which is meant.",
          file, column.name);
    }
    places.push_back(static_cast<std::size_t>(found - present.begin()));
  }
  return places;
}

std::string TextBatch::Place(std::size_t row) const {
  if (!line.empty()) return fmt::format("{}, line {}", *file, line[row]);
  return fmt::format("{}, row {}", *file, first_row + static_cast<std::int64_t>(row));
}

std::string PrintTime(std::int64_t time_us, bool date_only) {
  const std::chrono::sys_time<std::chrono::microseconds> time{std::chrono::microseconds(time_us)};
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  std::string text =
      fmt::format("{:04}-{:02}-{:02}", static_cast<int>(date.year()),
                  static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()));
  if (date_only) return text;
  const std::chrono::hh_mm_ss clock(time - day);
  text += fmt::format(" {:02}:{:02}:{:02}", clock.hours().count(), clock.minutes().count(),
                      clock.seconds().count());
  if (clock.subseconds().count() != 0) text += fmt::format(".{:06}", clock.subseconds().count());
  return text;
}

}  // namespace sequela
