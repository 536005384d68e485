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

}  // namespace

Pattern::Pattern(const std::string& expression) {
  int error = 0;
  PCRE2_SIZE place = 0;
  auto* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(expression.data()), expression.size(),
                             PCRE2_UTF, &error, &place, nullptr);
  if (code == nullptr) {
    std::array<PCRE2_UCHAR, 256> message{};
    pcre2_get_error_message(error, message.data(), message.size());
    throw InputError("regular expression \"{}\": {} at character {}", expression,
                     reinterpret_cast<const char*>(message.data()), place + 1);
  }
  code_ = std::shared_ptr<void>(
      code, [](void* pointer) { pcre2_code_free(static_cast<pcre2_code*>(pointer)); });
}

bool Pattern::Matches(std::string_view text) const {
  const MatchData data(pcre2_match_data_create_from_pattern(CodeOf(code_), nullptr),
                       &pcre2_match_data_free);
  return pcre2_match(CodeOf(code_), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0, 0,
                     data.get(), nullptr) >= 0;
}

std::vector<std::string> Pattern::Groups(std::string_view text) const {
  const MatchData data(pcre2_match_data_create_from_pattern(CodeOf(code_), nullptr),
                       &pcre2_match_data_free);
  const int count = pcre2_match(CodeOf(code_), reinterpret_cast<PCRE2_SPTR>(text.data()),
                                text.size(), 0, 0, data.get(), nullptr);
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
