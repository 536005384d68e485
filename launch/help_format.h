// How --help looks: every line fits a terminal of 80 columns, whatever an option's text is.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace sequela {

// To be set before commands are added: they take it over.
class HelpFormatter : public CLI::Formatter {
 public:
  std::string make_option_desc(const CLI::Option* option) const override;
  std::string make_subcommand(const CLI::App* command) const override;
  std::string make_description(const CLI::App* command) const override;
};

}  // namespace sequela
