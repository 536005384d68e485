// The texts of the build's modules, for tests that read or change a kernel's.
#pragma once

#include <string>
#include <vector>

#include "tests/ptx/interpreter/module.h"

namespace sequela::ptx {

class ModuleTexts {
 public:
  static const ModuleTexts& All() {
    static const ModuleTexts texts;
    return texts;
  }

  // The text of the module with this kernel, and where its body begins and ends.
  struct Place {
    const std::string* text = nullptr;  // null: in none of them
    std::size_t begin = 0;
    std::size_t end = 0;
  };
  [[nodiscard]] Place Find(const std::string& kernel) const {
    for (const std::string& text : texts_) {
      const std::size_t entry = text.find(".entry " + kernel + "(");
      if (entry == std::string::npos) continue;
      return {&text, text.find("\n{", entry), text.find("\n}\n", entry)};
    }
    return {};
  }

 private:
  ModuleTexts() {
    for (const auto& file : BuiltModules()) texts_.push_back(TextOf(file));
  }

  std::vector<std::string> texts_;
};

}  // namespace sequela::ptx
