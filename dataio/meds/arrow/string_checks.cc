#include "dataio/meds/arrow/string_checks.h"

#include "kernels/base/errors.h"
#include "kernels/base/printable_text.h"

namespace sequela {
namespace {

const char* FaultOf(const StringColumn& codes, std::uint32_t entry) {
  if (entry == StringColumn::kNull) return "a null code";
  if (codes.dictionary[entry].empty()) return "an empty code";
  if (!codes.invalid.empty() && codes.invalid[entry]) return "a code that is not valid UTF-8";
  if (codes.dictionary[entry].size() > kMaxCodeBytes) return "a code of more than 16 KiB";
  return nullptr;
}

}  // namespace

void RefuseBadCodes(const StringColumn& codes, const ColumnPlace& place) {
  for (std::size_t i = 0; i < codes.index.size(); ++i) {
    const char* const fault = FaultOf(codes, codes.index[i]);
    if (fault == nullptr) continue;
    throw InputError(
        "{}, row group {}, column '{}', row {}: {}. Every MEDS event has a code in UTF-8; repair "
        "or "
        "remove the row.",
        *place.file, place.row_group, Printable(*place.column),
        place.first_row + static_cast<std::int64_t>(i), fault);
  }
}

void RefuseInvalid(const StringColumn& strings, const ColumnPlace& place) {
  if (strings.invalid.empty()) return;
  for (std::size_t i = 0; i < strings.index.size(); ++i) {
    if (strings.index[i] == StringColumn::kNull || !strings.invalid[strings.index[i]]) continue;
    throw InputError(
        "{}, row group {}, column '{}', row {}: not valid UTF-8, which codes are made of. Repair "
        "the row, or leave the column out.",
        *place.file, place.row_group, Printable(*place.column),
        place.first_row + static_cast<std::int64_t>(i));
  }
}

void CountInvalidTexts(const StringColumn& texts, EventReadCounts& counts) {
  if (texts.invalid.empty()) return;
  for (const std::uint32_t entry : texts.index) {
    counts.invalid_texts += entry != StringColumn::kNull && texts.invalid[entry] ? 1 : 0;
  }
}

}  // namespace sequela
