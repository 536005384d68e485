#include "dataio/ingest/csv/csv_subjects.h"

#include <charconv>

#include "dataio/ingest/csv/csv_values.h"
#include "kernels/base/errors.h"
#include "kernels/base/philox.h"

namespace sequela {
namespace {

constexpr std::string_view kDigits = "0123456789";

// The whole text as a number; nothing where it is none or does not fit.
std::optional<std::int64_t> Integer(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Digits alone, as a pattern's group must be.
std::optional<std::int64_t> Digits(std::string_view text) {
  if (text.find_first_not_of(kDigits) != std::string_view::npos) return std::nullopt;
  return Integer(text);
}

// "-12.50", "1.2e+05": as a floating-point number prints. Texts such as 12E4 may be names.
bool IsInexactNumber(std::string_view text) {
  double value = 0.0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error != std::errc::invalid_argument && end == text.data() + text.size() &&
         text.find_first_of(kDigits) != std::string_view::npos &&
         (text.find('.') != std::string_view::npos || text.find("e+") != std::string_view::npos ||
          text.find("e-") != std::string_view::npos || text.find("E+") != std::string_view::npos ||
          text.find("E-") != std::string_view::npos);
}

}  // namespace

std::string PlainId(std::string_view text, const TextBatch& batch, std::size_t row) {
  text = Trim(text);
  if (IsMissing(text)) return {};
  if (text.starts_with('+') && Integer(text.substr(1))) text.remove_prefix(1);
  const std::size_t point = text.find('.');
  if (point != std::string_view::npos && Integer(text.substr(0, point)) &&
      text.find_first_not_of('0', point + 1) == std::string_view::npos) {
    text = text.substr(0, point);
  }
  if (IsInexactNumber(text)) {
    throw InputError(
        "{}: an id that is a number with a fraction or an exponent. Such a number may have lost "
        "digits: write the ids as integers or text.",
        batch.Place(row));
  }
  return std::string(text);
}

std::int64_t SubjectIds::NumberOf(const std::string& plain, const TextBatch& batch,
                                  std::size_t row) const {
  if (const auto number = Integer(plain)) return *number;
  const auto hash = static_cast<std::int64_t>(MixBits(HashName(plain)) >> 1);
  if (!mapping_.subject_pattern) return hash;
  const std::vector<std::string> groups = mapping_.subject_pattern->Groups(plain);
  if (groups.empty()) return hash;
  const auto first = groups.size() == 2 ? Digits(groups[0]) : std::nullopt;
  const auto second = groups.size() == 2 ? Digits(groups[1]) : std::nullopt;
  std::int64_t id = 0;
  if (!first || !second || *second >= mapping_.subject_scale ||
      __builtin_mul_overflow(*first, mapping_.subject_scale, &id) ||
      __builtin_add_overflow(id, *second, &id)) {
    throw InputError(
        "{}: an id that subject_pattern and subject_scale cannot make a number of. The pattern "
        "needs "
        "two groups of digits, the second below subject_scale ({}), and first x scale + second "
        "must "
        "fit 63 bits. Raise the scale, or leave out the pattern: such ids are hashed.",
        batch.Place(row), mapping_.subject_scale);
  }
  return id;
}

void SubjectIds::RefuseOther(std::int64_t id, const std::string& plain, const TextBatch& batch,
                             std::size_t row) {
  const std::uint64_t hash = HashName(plain);
  const auto [known, added] = text_of_.try_emplace(id, hash);
  if (added || known->second == hash) return;
  throw InputError(
      "{}: its id becomes the same subject as another id of these tables (as 7, 007 and, by "
      "subject_pattern, 3-5 and 003-5 would). Write the ids of one subject alike in all tables.",
      batch.Place(row));
}

std::optional<std::int64_t> SubjectIds::IdOf(std::string_view text, const TextBatch& batch,
                                             std::size_t row) {
  if (last_id_ && text == last_text_) return last_id_;
  const std::string plain = PlainId(text, batch, row);
  if (plain.empty()) return std::nullopt;
  const std::int64_t id = NumberOf(plain, batch, row);
  RefuseOther(id, plain, batch, row);
  last_text_ = text;
  last_id_ = id;
  return id;
}

}  // namespace sequela
