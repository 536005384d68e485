#include "dataio/base/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>

#include "kernels/base/errors.h"

namespace sequela {
namespace {

using MatchData = std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)>;

pcre2_code* CodeOf(const std::shared_ptr<void>& code) {
  return static_cast<pcre2_code*>(code.get());
}

std::string MessageOf(int error) {
  std::array<PCRE2_UCHAR, 256> message{};
  pcre2_get_error_message(error, message.data(), message.size());
  return reinterpret_cast<const char*>(message.data());
}

// 1 + the number of the highest group that matched; 0: the text does not match. Whatever else PCRE2
// returns is no answer, and must not be taken for "no match".
int CountMatched(const pcre2_code* code, std::string_view text, pcre2_match_data* data,
                 const std::string& expression) {
  const int count = pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0, 0,
                                data, nullptr);
  if (count > 0) return count;
  if (count == PCRE2_ERROR_NOMATCH) return 0;
  throw InputError(
      "regular expression \"{}\": cannot be decided for a text of {} bytes: {}. Where a limit was "
      "exceeded, write it without repetitions inside repetitions, such as (a+)+.",
      expression, text.size(), MessageOf(count));
}

}  // namespace

Pattern::Pattern(const std::string& expression) : expression_(expression) {
  int error = 0;
  PCRE2_SIZE place = 0;
  auto* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(expression.data()), expression.size(),
                             PCRE2_UTF, &error, &place, nullptr);
  if (code == nullptr) {
    throw InputError("regular expression \"{}\": {} at character {}", expression, MessageOf(error),
                     place + 1);
  }
  code_ = std::shared_ptr<void>(
      code, [](void* pointer) { pcre2_code_free(static_cast<pcre2_code*>(pointer)); });
}

bool Pattern::Matches(std::string_view text) const {
  const MatchData data(pcre2_match_data_create_from_pattern(CodeOf(code_), nullptr),
                       &pcre2_match_data_free);
  return CountMatched(CodeOf(code_), text, data.get(), expression_) > 0;
}

std::vector<std::string> Pattern::Groups(std::string_view text) const {
  const MatchData data(pcre2_match_data_create_from_pattern(CodeOf(code_), nullptr),
                       &pcre2_match_data_free);
  const int count = CountMatched(CodeOf(code_), text, data.get(), expression_);
  std::vector<std::string> groups;
  const PCRE2_SIZE* offsets = pcre2_get_ovector_pointer(data.get());
  for (int i = 1; i < count; ++i) {
    const auto begin = offsets[2 * i];
    groups.emplace_back(begin == PCRE2_UNSET ? std::string_view()
                                             : text.substr(begin, offsets[2 * i + 1] - begin));
  }
  return groups;
}

PatternSet::PatternSet(const std::vector<std::string>& expressions) {
  for (const std::string& expression : expressions) patterns_.emplace_back(expression);
}

bool PatternSet::Matches(std::string_view text) const {
  for (const Pattern& pattern : patterns_) {
    if (pattern.Matches(text)) return true;
  }
  return false;
}

}  // namespace sequela
