#include "tests/ptx/interpreter/module.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "kernels/base/check.h"
#include "tests/ptx/interpreter/decoder.h"

namespace sequela::ptx {
namespace {

class Library {
 public:
  Library() {
    for (const auto& file : BuiltModules()) {
      Add(TextOf(file), file.filename().string());
    }
    built_ = true;
  }

  void Add(std::string text, const std::string& name);
  Entry& Find(const std::string& name) {
    const auto found = entries_.find(name);
    SEQUELA_CHECK(found != entries_.end(), "no kernel '{}' in the PTX of {}", name,
                  SEQUELA_PTX_FOLDERS);
    return found->second;
  }

 private:
  void ReadEntry(Lexer& lexer, Module& module);
  void PlaceVariable(Module& module, const Variable& variable);

  bool built_ = false;  // all that the build made is there; what comes now may replace it
  std::vector<std::unique_ptr<Module>> modules_;
  std::map<std::string, Entry, std::less<>> entries_;
};

Library& TheLibrary() {
  static Library library;
  return library;
}

// Where the braces that open at the next token end.
std::string_view SkipBody(Lexer& lexer, std::string_view text) {
  const std::size_t begin = lexer.Offset();
  lexer.Expect("{");
  std::size_t end = begin;
  for (int depth = 1; depth > 0;) {
    const Token token = lexer.Peek();
    if (token.kind == Token::Kind::kEnd) SyntaxFault(token.line, "a body without end");
    if (token.Is("{")) ++depth;
    if (token.Is("}")) --depth;
    end = lexer.Offset() + 1;
    lexer.Take();
  }
  return text.substr(begin, end - begin);
}

void Library::ReadEntry(Lexer& lexer, Module& module) {
  Entry entry{.module = &module};
  const std::string name(lexer.Take().text);
  if (lexer.TakeIf("(")) {
    while (!lexer.TakeIf(")")) {
      lexer.Expect(".param");
      entry.parameters.push_back(ReadVariable(lexer, ".param"));
      lexer.TakeIf(",");
    }
  }
  while (!lexer.Peek().Is("{")) lexer.Take();  // .maxntid and the like
  entry.line = lexer.Peek().line;
  entry.body = SkipBody(lexer, module.text);
  SEQUELA_CHECK(built_ || !entries_.contains(name), "{}: another file has a kernel '{}' too",
                module.name, name);
  entries_.insert_or_assign(name, std::move(entry));
}

void Library::PlaceVariable(Module& module, const Variable& variable) {
  if (variable.space == ".shared") {
    module.shared.push_back(variable);
    return;
  }
  SEQUELA_CHECK(variable.bytes > 0, "{}: variable {} without extent", module.name, variable.name);
  std::vector<std::byte>& storage = module.storage.emplace_back(variable.bytes + 256);
  const std::size_t past = reinterpret_cast<std::uintptr_t>(storage.data()) % 256;
  std::byte* memory = storage.data() + (past == 0 ? 0 : 256 - past);
  std::memcpy(memory, variable.initial.data(), variable.initial.size());
  const Space space = variable.space == ".const" ? Space::kConst : Space::kGlobal;
  Memory().Add(memory, variable.bytes, true, space == Space::kConst);
  module.symbols[variable.name] = {
      .space = space, .address = reinterpret_cast<std::uintptr_t>(memory), .bytes = variable.bytes};
}

void Library::Add(std::string text, const std::string& name) {
  modules_.push_back(std::make_unique<Module>());
  Module& module = *modules_.back();
  module.name = name;
  module.text = std::move(text);
  Lexer lexer(module.text, 1);
  while (lexer.Peek().kind != Token::Kind::kEnd) {
    const Token token = lexer.Take();
    if (token.Is(".version") || token.Is(".target") || token.Is(".address_size") ||
        token.Is(".file") || token.Is(".pragma")) {  // to the end of the line
      while (lexer.Peek().line == token.line && lexer.Peek().kind != Token::Kind::kEnd) {
        lexer.Take();
      }
    } else if (token.Is(".entry")) {
      ReadEntry(lexer, module);
    } else if (token.Is(".func")) {  // never called: calls are refused
      while (!lexer.Peek().Is("{") && !lexer.Peek().Is(";")) lexer.Take();
      if (!lexer.TakeIf(";")) SkipBody(lexer, module.text);
    } else if (token.Is(".global") || token.Is(".const") || token.Is(".shared")) {
      PlaceVariable(module, ReadVariable(lexer, token.text));
      lexer.Expect(";");
    } else if (token.Is(".visible") || token.Is(".extern") || token.Is(".weak") ||
               token.Is(".common") || token.Is(";")) {
      continue;
    } else if (token.Is(".section")) {
      while (!lexer.TakeIf("}")) lexer.Take();
    } else {
      SyntaxFault(token.line, fmt::format("{}: '{}' is not understood", name, token.text));
    }
  }
}

}  // namespace

std::vector<std::filesystem::path> BuiltModules() {
  std::vector<std::filesystem::path> files;
  std::istringstream folders(SEQUELA_PTX_FOLDERS);
  for (std::string folder; std::getline(folders, folder, ',');) {
    if (!std::filesystem::exists(folder)) continue;
    for (const auto& file : std::filesystem::directory_iterator(folder)) {
      if (file.path().extension() == ".ptx") files.push_back(file.path());
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::string TextOf(const std::filesystem::path& file) {
  std::ifstream stream(file);
  return std::string(std::istreambuf_iterator<char>(stream), {});
}

const Program& FindProgram(const std::string& name) {
  Entry& entry = TheLibrary().Find(name);
  if (entry.program == nullptr) {
    entry.program = std::make_unique<Program>(Decode(name, entry));
  }
  return *entry.program;
}

void AddModule(std::string_view text, const std::string& name) {
  TheLibrary().Add(std::string(text), name);
}

}  // namespace sequela::ptx
