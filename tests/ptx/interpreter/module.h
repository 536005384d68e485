// Finds kernels in modules of PTX and makes them ready, each at its first launch.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tests/ptx/interpreter/program.h"
#include "tests/ptx/interpreter/syntax.h"

namespace sequela::ptx {

// A variable of the module: its address in its space.
struct Symbol {
  Space space = Space::kGlobal;
  std::uint64_t address = 0;
  std::uint64_t bytes = 0;
};

struct Module;

// A kernel as the scan for names found it.
struct Entry {
  const Module* module = nullptr;
  std::vector<Variable> parameters;
  std::string_view body;             // with its braces
  int line = 0;                      // of the body
  std::unique_ptr<Program> program;  // null until it is first asked for
};

struct Module {
  std::string name;  // of the file
  std::string text;
  std::map<std::string_view, Symbol> symbols;  // .global, .const
  std::vector<Variable> shared;                // .shared at the module's level, in order
  std::vector<std::vector<std::byte>> storage;
};

// The files of PTX that the build made of our kernels, in order; those of one architecture for each
// folder of sources.
std::vector<std::filesystem::path> BuiltModules();
std::string TextOf(const std::filesystem::path& file);
// The kernel of that name, from LoadText's modules or the build's. Throws where there is none.
const Program& FindProgram(const std::string& name);
void AddModule(std::string_view text, const std::string& name);

}  // namespace sequela::ptx
