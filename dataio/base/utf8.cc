#include "dataio/base/utf8.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <memory>

#include "kernels/base/check.h"

namespace sequela {
namespace {

// An expression that matches everywhere: before it looks at a subject, PCRE2 checks that it is
// UTF-8.
struct Checker {
  std::unique_ptr<pcre2_code, decltype(&pcre2_code_free)> code;
  std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> data;

  Checker() : code(Compile(), &pcre2_code_free), data(nullptr, &pcre2_match_data_free) {
    data.reset(pcre2_match_data_create_from_pattern(code.get(), nullptr));
  }
  static pcre2_code* Compile() {
    int error = 0;
    PCRE2_SIZE place = 0;
    pcre2_code* code =
        pcre2_compile(reinterpret_cast<PCRE2_SPTR>(""), 0, PCRE2_UTF, &error, &place, nullptr);
    SEQUELA_CHECK(code != nullptr, "PCRE2 error {}", error);
    return code;
  }
};

}  // namespace

bool IsUtf8(std::string_view text) {
  if (text.empty()) return true;
  thread_local const Checker checker;
  return pcre2_match(checker.code.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0,
                     0, checker.data.get(), nullptr) >= 0;
}

}  // namespace sequela
