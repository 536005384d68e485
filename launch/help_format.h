// How --help looks: every line fits a terminal of 80 columns, whatever an option's text is.
#pragma once

#include <CLI/CLI.hpp>
#include <cstddef>
#include <string>
#include <string_view>

namespace sequela {

// `text` with line breaks in place of blanks, so that no line is longer than `columns` unless a
// single word is. Line breaks of the text stay.
std::string Wrapped(std::string_view text, std::size_t columns);

// To be set before commands are added: they take it over.
class HelpFormatter : public CLI::Formatter {
 public:
  std::string make_option_desc(const CLI::Option* option) const override;
  std::string make_subcommand(const CLI::App* command) const override;
  std::string make_description(const CLI::App* command) const override;
};

}  // namespace sequela
