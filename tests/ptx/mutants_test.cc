// ctest: labels=ptx
// Faults seeded into the text of the kernels that ship: a barrier or a wait deleted, a mask moved
// by one, a swizzle's constant changed. An ordinary launch must then fail or give another result,
// or our tests would not notice such a mistake in the source.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "tests/ptx/instruction_testing.h"
#include "tests/ptx/interpreted_alone.h"
#include "tests/ptx/interpreter/operations.h"
#include "tests/ptx/module_texts.h"

namespace sequela::ptx {
namespace {

struct Mutation {
  std::string name;
  std::string found;  // in the text
  bool whole;         // the instruction is deleted, or else what was found
  std::size_t most;   // places of a kernel that are tried, the first ones
};
const std::vector<Mutation>& Mutations() {
  static const std::vector<Mutation> mutations = {
      {"a barrier deleted", "bar.sync", true, 20},
      {"a warp's barrier deleted", "bar.warp.sync", true, 20},
      {"a wait deleted", "cp.async.wait_group", true, 20},
      {"all waits deleted", "cp.async.wait_all", true, 20},
      {"a commit deleted", "cp.async.commit_group", true, 20},
      {"a matrix not transposed", ".trans", false, 2},
      {"a proxy fence deleted", "fence.proxy.async", true, 20},
      {"a fence of registers deleted", "wgmma.fence", true, 20},
      {"a wait for products deleted", "wgmma.wait_group", true, 20},
      {"a commit of products deleted", "wgmma.commit_group", true, 20},
  };
  return mutations;
}

// Where the kernel has what a mutation looks for.
std::vector<std::size_t> Occurrences(const ModuleTexts::Place& place, const Mutation& mutation) {
  std::vector<std::size_t> found;
  for (std::size_t at = place.text->find(mutation.found, place.begin); at < place.end;
       at = place.text->find(mutation.found, at + 1)) {
    if (found.size() == mutation.most) break;
    found.push_back(at);
  }
  return found;
}

// The module's text with the occurrence replaced.
std::string Mutant(const ModuleTexts::Place& place, const Mutation& mutation, std::size_t at,
                   const std::string& replacement) {
  std::string text = *place.text;
  const std::size_t end = mutation.whole ? text.find(';', at) + 1 : at + mutation.found.size();
  return text.replace(at, end - at, replacement);
}

// How many mutants rightly pass, by kernel and mutation.
const std::map<std::string, int> kHarmless = {
    // Ends a warp's use of its rows in shared memory; what comes next here lies in others.
    {"sequela_attention_dkv_64: a warp's barrier deleted", 1},
    {"sequela_attention_forward_64: a warp's barrier deleted", 1},
};

// Kernels that an operation launches.
std::set<std::string> KernelsOf(const Operation& operation, DType type) {
  TakeCounts();
  operation.run(type);
  std::set<std::string> kernels;
  for (const auto& [kernel, counts] : TakeCounts()) kernels.insert(kernel);
  return kernels;
}

class MutantsTest : public ::testing::TestWithParam<Operation> {
 protected:
  void SetUp() override { SetOptions({.async = Async::kLatest}); }

  // Whether the operation fails with this text, or gives other bytes than the right ones.
  bool IsCaught(const std::string& text) {
    LoadText(text);
    Results got;
    const std::string fault = FaultOf([&] { got = GetParam().run(kType); });
    return !fault.empty() || got != right_;
  }
  void TryAll(const std::string& kernel) {
    const ModuleTexts::Place place = ModuleTexts::All().Find(kernel);
    ASSERT_NE(place.text, nullptr) << kernel;
    for (const Mutation& mutation : Mutations()) {
      std::string unseen;
      int passed = 0;
      for (const std::size_t at : Occurrences(place, mutation)) {
        if (IsCaught(Mutant(place, mutation, at, ""))) continue;
        // Not at this shape: a trap in its place is not reached.
        if (mutation.whole && !IsCaught(Mutant(place, mutation, at, "trap;"))) continue;
        const auto line = std::count(place.text->begin(),
                                     place.text->begin() + static_cast<std::ptrdiff_t>(at), '\n');
        unseen += fmt::format(" {}", line + 1);
        ++passed;
      }
      const auto harmless = kHarmless.find(kernel + ": " + mutation.name);
      EXPECT_EQ(passed, harmless == kHarmless.end() ? 0 : harmless->second)
          << kernel << ": " << mutation.name << " passes unseen in line" << unseen;
    }
    LoadText(*place.text);
  }

  static constexpr DType kType = DType::kBFloat16;
  Results right_ = GetParam().run(kType);
};

TEST_P(MutantsTest, AreCaught) {
  for (const std::string& kernel : KernelsOf(GetParam(), kType)) TryAll(kernel);
}

INSTANTIATE_TEST_SUITE_P(Operations, MutantsTest, ::testing::ValuesIn(kOperations),
                         [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace sequela::ptx
