#include "dataio/ingest/reading/counts.h"

namespace sequela {
namespace {

using Kind = FindingKind;

// In the order of the enumeration.
constexpr std::array<FindingText, Findings::kSize> kTexts = {{
    {"rows_read", "rows read", Kind::kInfo},
    {"values_rounded", "values rounded to float32", Kind::kWarning},
    {"values_not_finite", "values not finite, taken as none", Kind::kWarning},
    {"texts_not_utf8", "texts not UTF-8, taken as free text", Kind::kWarning},
    {"rows_out_of_order", "rows out of time order, sorted", Kind::kWarning},
    {"subjects_not_contiguous", "subjects with scattered rows, gathered", Kind::kWarning},
    {"subjects_in_several_files", "subjects in several files, gathered", Kind::kWarning},
    {"subjects_split_by_hash", "subjects without a given split, by hash", Kind::kWarning},
    {"excluded_rows", "rows of excluded subjects, dropped", Kind::kInfo},
    {"excluded_subjects", "excluded subjects", Kind::kInfo},
    {"static_facts_dropped", "null-time facts not on the allow-list", Kind::kDropped},
    {"births_without_time", "births without a time", Kind::kDropped},
    {"extra_births", "second and further births", Kind::kDropped},
    {"subjects_without_birth", "subjects without birth (no age token)", Kind::kWarning},
    {"events_before_birth", "events before birth", Kind::kWarning},
    {"events_before_birth_dropped", "events before birth", Kind::kDropped},
    {"events_after_death", "events after death", Kind::kWarning},
    {"events_after_death_dropped", "events after death", Kind::kDropped},
    {"duplicates", "duplicate events", Kind::kWarning},
    {"duplicates_dropped", "duplicate events", Kind::kDropped},
    {"static_only_subjects", "subjects with no timed event, left out", Kind::kWarning},
    {"static_only_events_dropped", "facts of subjects left out", Kind::kDropped},
    {"moved_to_day_end", "date-only events placed at the day's end", Kind::kInfo},
    {"implausible_values", "values outside their plausible range", Kind::kWarning},
    {"static_facts_without_token", "static facts unknown to the vocabulary", Kind::kDropped},
    {"texts", "rows with a text", Kind::kInfo},
    {"events_of_columns", "events made of other columns", Kind::kInfo},
    {"code_rows_without_code", "rows of codes.parquet without a code", Kind::kInfo},
}};

}  // namespace

const FindingText& TextOf(Finding finding) { return kTexts[static_cast<std::size_t>(finding)]; }

}  // namespace sequela
