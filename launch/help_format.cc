#include "launch/help_format.h"

#include <algorithm>
#include <cstddef>
#include <sstream>
#include <string_view>

namespace sequela {
namespace {

constexpr std::size_t kColumns = 80;

// `text` with line breaks in place of blanks, so that no line is longer than `columns` unless a
// single word is. Line breaks of the text stay.
std::string Wrapped(std::string_view text, std::size_t columns) {
  std::string wrapped;
  std::size_t line = 0;  // where the current one begins in `wrapped`
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find_first_of(" \n", at), text.size());
    const std::size_t length = end - at;
    const bool is_first = wrapped.size() == line;
    if (!is_first && wrapped.size() + 1 + length > line + columns) {
      wrapped += '\n';
      line = wrapped.size();
    } else if (!is_first) {
      wrapped += ' ';
    }
    wrapped += text.substr(at, length);
    if (end < text.size() && text[end] == '\n') {
      wrapped += '\n';
      line = wrapped.size();
    }
    at = end + 1;
  }
  return wrapped;
}

}  // namespace

std::string HelpFormatter::make_option_desc(const CLI::Option* option) const {
  return Wrapped(CLI::Formatter::make_option_desc(option), kColumns - get_column_width());
}

std::string HelpFormatter::make_subcommand(const CLI::App* command) const {
  std::ostringstream out;
  CLI::detail::format_help(out, command->get_display_name(true),
                           Wrapped(command->get_description(), kColumns - get_column_width()),
                           get_column_width());
  return out.str();
}

std::string HelpFormatter::make_description(const CLI::App* command) const {
  return Wrapped(CLI::Formatter::make_description(command), kColumns);
}

}  // namespace sequela
