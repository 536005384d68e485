// ctest: labels=ptx
// Faults seeded into the text of the kernels that ship: a barrier or a wait deleted, a mask moved
// by one, a swizzle's constant changed. An ordinary launch must then fail or give another result,
// or our tests would not notice such a mistake in the source.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>

#include "tests/ptx/instruction_testing.h"
#include "tests/ptx/operations.h"

namespace sequela::ptx {
namespace {

// The texts of the build's modules for sm_80, and which kernels they hold.
class Modules {
 public:
  Modules() {
    for (const auto& entry :
         std::filesystem::directory_iterator(std::filesystem::path(SEQUELA_PTX_FOLDER) / "80")) {
      if (entry.path().extension() != ".ptx") continue;
      std::ostringstream text;
      text << std::ifstream(entry.path()).rdbuf();
      texts_.push_back(text.str());
    }
  }
  // The text of the module with this kernel, and where its body begins and ends.
  struct Place {
    const std::string* text = nullptr;
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
  std::vector<std::string> texts_;
};
const Modules& All() {
  static const Modules modules;
  return modules;
}

struct Mutation {
  std::string name;
  std::regex pattern;  // of one line
  std::string replacement;
};
const std::vector<Mutation>& Mutations() {
  static const std::vector<Mutation> mutations = {
      {"a barrier deleted", std::regex(R"(\bbar(rier)?(\.cta)?\.sync[^;\n]*;)"), ""},
      {"a warp's barrier deleted", std::regex(R"(\bbar\.warp\.sync[^;\n]*;)"), ""},
      {"a wait deleted", std::regex(R"(\bcp\.async\.wait_(group|all)[^;\n]*;)"), ""},
      {"a commit deleted", std::regex(R"(\bcp\.async\.commit_group\s*;)"), ""},
      {"a matrix not transposed", std::regex(R"((ldmatrix[^;\n]*)\.trans)"), "$1"},
  };
  return mutations;
}

// The module's text with the pattern's occurrence `which` in the kernel replaced; empty where the
// kernel has no such occurrence.
std::string Mutant(const Modules::Place& place, const Mutation& mutation, std::size_t which) {
  const auto body = place.text->begin() + static_cast<std::ptrdiff_t>(place.begin);
  const auto end = place.text->begin() + static_cast<std::ptrdiff_t>(place.end);
  std::sregex_iterator match(body, end, mutation.pattern);
  for (; match != std::sregex_iterator() && which > 0; ++match) --which;
  if (match == std::sregex_iterator()) return "";
  return std::string(place.text->begin(), body) + std::string(body, (*match)[0].first) +
         match->format(mutation.replacement) + std::string((*match)[0].second, place.text->end());
}

// Kernels that an operation launches.
std::set<std::string> KernelsOf(const Operation& operation, DType type) {
  TakeCounts();
  operation.run(type);
  std::set<std::string> kernels;
  for (const auto& [kernel, counts] : TakeCounts()) kernels.insert(kernel);
  return kernels;
}

class MutantsTest : public ::testing::TestWithParam<Operation> {};

TEST_P(MutantsTest, AreCaught) {
  const Operation& operation = GetParam();
  const DType type = DType::kBFloat16;
  const std::set<std::string> kernels = KernelsOf(operation, type);
  const Bytes right = operation.run(type);
  for (const std::string& kernel : kernels) {
    const Modules::Place place = All().Find(kernel);
    ASSERT_NE(place.text, nullptr) << kernel;
    for (const Mutation& mutation : Mutations()) {
      for (std::size_t which = 0;; ++which) {
        const std::string mutant = Mutant(place, mutation, which);
        if (mutant.empty()) break;
        LoadText(mutant);
        Bytes got;
        const std::string fault = FaultOf([&] { got = operation.run(type); });
        EXPECT_TRUE(!fault.empty() || got != right)
            << kernel << ": " << mutation.name << " (number " << which << ") passes unseen";
      }
    }
    LoadText(*place.text);
  }
}

INSTANTIATE_TEST_SUITE_P(Operations, MutantsTest, ::testing::ValuesIn(kOperations),
                         [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace sequela::ptx
