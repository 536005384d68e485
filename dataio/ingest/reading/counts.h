// What ingest repaired, dropped or merely noticed: a number for each, printed in its summary. A
// plain array, added up over workers and ranks.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sequela {

enum class Finding : std::uint8_t {
  kRowsRead,
  kRoundedValues,
  kNonfiniteValues,
  kInvalidTexts,
  kRowsOutOfOrder,
  kSubjectsNotContiguous,
  kSubjectsInSeveralFiles,
  kSubjectsSplitByHash,
  kExcludedRows,
  kExcludedSubjects,
  kStaticFactsDropped,
  kBirthWithoutTime,
  kExtraBirths,
  kSubjectsWithoutBirth,
  kEventsBeforeBirth,
  kEventsBeforeBirthDropped,
  kEventsAfterDeath,
  kEventsAfterDeathDropped,
  kDuplicates,
  kDuplicatesDropped,
  kStaticOnlySubjects,
  kStaticOnlyEventsDropped,
  kMovedToDayEnd,
  kImplausibleValues,
  kStaticFactsWithoutToken,
  kTexts,
  kEventsOfColumns,
  kCodeRowsWithoutCode,
  kCount
};

// How a finding is shown: its key in JSON, its line in the summary, and whether it is a warning,
// counts dropped events, or is merely told.
enum class FindingKind : std::uint8_t { kInfo, kWarning, kDropped };
struct FindingText {
  std::string_view key;
  std::string_view text;
  FindingKind kind;
};
const FindingText& TextOf(Finding finding);

class Findings {
 public:
  static constexpr std::size_t kSize = static_cast<std::size_t>(Finding::kCount);
  std::int64_t& operator[](Finding finding) { return counts_[static_cast<std::size_t>(finding)]; }
  std::int64_t operator[](Finding finding) const {
    return counts_[static_cast<std::size_t>(finding)];
  }
  void Merge(const Findings& other) {
    for (std::size_t i = 0; i < kSize; ++i) counts_[i] += other.counts_[i];
  }

 private:
  std::array<std::int64_t, kSize> counts_{};
};

}  // namespace sequela
