// The first word of the command line, which names the command.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace sequela {

// The arguments after the program's name as `program` parses them: "help" becomes "--help", "help
// train" becomes "train --help". Throws InputError, with the list of commands, where there is no
// argument or the first is neither a command nor an option.
std::vector<std::string> WithCommand(const CLI::App& program, std::vector<std::string> arguments);

}  // namespace sequela
