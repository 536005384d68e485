#include "dataio/base/text_file.h"

#include <algorithm>

#include "dataio/base/utf8.h"
#include "kernels/base/atomic_file.h"
#include "kernels/base/errors.h"

namespace sequela {
namespace {

bool LooksLikeUtf16(std::string_view bytes) {
  return bytes.starts_with("\xFF\xFE") || bytes.starts_with("\xFE\xFF") ||
         bytes.find('\0') != std::string_view::npos;
}

// From 1: the first line that is not UTF-8.
std::int64_t FirstBadLine(std::string_view text) {
  std::int64_t number = 1;
  for (std::size_t begin = 0; begin < text.size(); ++number) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    if (!IsUtf8(text.substr(begin, end - begin))) break;
    begin = end + 1;
  }
  return number;
}

}  // namespace

std::string_view TextWithoutMark(std::string_view bytes, const std::filesystem::path& file) {
  constexpr std::string_view kMark = "\xEF\xBB\xBF";
  if (LooksLikeUtf16(bytes)) {
    throw InputError("{}: not UTF-8 text (it looks like UTF-16). Save it as UTF-8.", file.string());
  }
  if (!IsUtf8(bytes)) {
    throw InputError("{}:{}: not UTF-8 text. Save the file as UTF-8.", file.string(),
                     FirstBadLine(bytes));
  }
  if (bytes.starts_with(kMark)) bytes.remove_prefix(kMark.size());
  return bytes;
}

std::string ReadTextFile(const std::filesystem::path& file) {
  const std::string bytes = ReadFile(file);
  return std::string(TextWithoutMark(bytes, file));
}

}  // namespace sequela
