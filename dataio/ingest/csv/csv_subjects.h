// Subjects' ids as a mapping's tables write them, as MEDS's int64. One thread at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "dataio/ingest/csv_mapping.h"
#include "dataio/meds/text_table.h"

namespace sequela {

// An id or key in the one form in which it is compared: trimmed, "1.0" and "+1" as "1". Empty where
// the text stands for no value (IsMissing). Throws InputError, naming `batch` and `row`, for a number
// with a fraction or an exponent, which has lost digits.
std::string PlainId(std::string_view text, const TextBatch& batch, std::size_t row);

class SubjectIds {
 public:
  explicit SubjectIds(const CsvMapping& mapping) : mapping_(mapping) {}

  // The text as int64, by subject_pattern, or else a stable hash of it; nothing where it stands for
  // no value. Throws InputError, naming `batch` and `row` and not the id, where two different texts
  // become one subject, or the pattern's numbers do not fit subject_scale.
  std::optional<std::int64_t> IdOf(std::string_view text, const TextBatch& batch, std::size_t row);

 private:
  std::int64_t NumberOf(const std::string& plain, const TextBatch& batch, std::size_t row) const;
  void RefuseOther(std::int64_t id, const std::string& plain, const TextBatch& batch,
                   std::size_t row);

  const CsvMapping& mapping_;
  std::unordered_map<std::int64_t, std::uint64_t> text_of_;  // id -> hash of the plain text
  std::string last_text_;                                    // rows of a subject often follow
  std::optional<std::int64_t> last_id_;
};

}  // namespace sequela
