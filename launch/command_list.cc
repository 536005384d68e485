#include "launch/command_list.h"

#include <fmt/format.h>

#include <algorithm>

#include "dataio/base/settings_reader.h"
#include "kernels/base/errors.h"

namespace sequela {
namespace {

std::string ListOf(const CLI::App& program) {
  std::string list = "Commands (sequela COMMAND --help says more):";
  for (const CLI::App* command : program.get_subcommands({})) {
    list += fmt::format("\n  {:<12}{}", command->get_name(), command->get_description());
  }
  return list;
}

}  // namespace

std::vector<std::string> WithCommand(const CLI::App& program, std::vector<std::string> arguments) {
  if (arguments.empty()) throw InputError("which command?\n{}", ListOf(program));
  if (arguments[0] == "help") {
    if (arguments.size() == 1) return {"--help"};
    arguments = {arguments[1], "--help"};
  }
  const std::string& word = arguments[0];
  if (word.starts_with('-')) return arguments;
  std::vector<std::string> names;
  for (const CLI::App* command : program.get_subcommands({})) names.push_back(command->get_name());
  if (std::find(names.begin(), names.end(), word) != names.end()) return arguments;
  const std::string nearest = NearestOf(word, names);
  throw InputError("there is no command '{}'{}\n{}", word,
                   nearest.empty() ? "." : fmt::format("; did you mean '{}'?", nearest),
                   ListOf(program));
}

}  // namespace sequela
