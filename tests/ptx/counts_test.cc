// ctest: labels=ptx
// Instructions, bytes and bank conflicts of every kernel at one shape, against
// tests/ptx/counts.txt: speed that a change loses is seen without a GPU.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "tests/ptx/interpreted_alone.h"
#include "tests/ptx/interpreter/interpreter.h"
#include "tests/ptx/interpreter/operations.h"
#include "tests/ptx/interpreter/table.h"

namespace sequela {
namespace {

using ::testing::IsEmpty;
using testing::Table;
using testing::TableLine;

const std::string kTable = SEQUELA_SOURCE_DIR "/tests/ptx/counts.txt";
constexpr std::size_t kColumns = 3;  // instructions, bytes, bank conflicts
constexpr double kShare = 1.05;      // of its figure that a kernel may reach

std::map<std::string, TableLine> Count() {
  ptx::SetOptions({.async = ptx::Async::kLatest, .races = false});
  std::map<std::string, TableLine> lines;
  for (const ptx::Operation& operation : ptx::kOperations) {
    for (const DType type : {DType::kFloat32, DType::kBFloat16}) {
      ptx::TakeCounts();
      operation.run(type);
      for (const auto& [kernel, counts] : ptx::TakeCounts()) {
        lines[fmt::format("{}/{}/{}", operation.name, type == DType::kFloat32 ? "fp32" : "bf16",
                          kernel)] = {
            {counts.instructions, counts.global_bytes_read + counts.global_bytes_written,
             counts.bank_conflicts},
            ""};
      }
    }
  }
  return lines;
}

// What is wrong, in words; empty where nothing grew.
std::vector<std::string> Complaints(const std::map<std::string, TableLine>& present,
                                    const Table& table) {
  const std::array<std::string, kColumns> names = {"instructions", "bytes", "bank conflicts"};
  std::vector<std::string> complaints;
  for (const auto& [name, line] : present) {
    const auto known = table.lines.find(name);
    if (known == table.lines.end()) {
      complaints.push_back("missing, add: " + Print(name, line));
      continue;
    }
    for (std::size_t i = 0; i < kColumns; ++i) {
      const auto figure = static_cast<double>(known->second.figures[i]);
      if (static_cast<double>(line.figures[i]) > kShare * figure) {
        complaints.push_back(fmt::format("{}: {} {}, where {} stand in the table", name,
                                         line.figures[i], names[i], figure));
      }
    }
  }
  for (const auto& [name, line] : table.lines) {
    if (!present.contains(name)) complaints.push_back(name + " was not launched");
  }
  return complaints;
}

TEST(CountsTest, NoKernelCostsMoreThanBefore) {
  const std::map<std::string, TableLine> present = Count();
  const Table table = testing::ReadTable(kTable, kColumns);
  if (testing::Refreshing()) return testing::RefreshTable(kTable, table, present);
  const std::vector<std::string> complaints = Complaints(present, table);
  EXPECT_TRUE(complaints.empty()) << fmt::format("{}", fmt::join(complaints, "\n"));
}

TEST(CountsTest, GrowthIsFound) {
  Table table;
  table.lines = {{"one", {{1000, 100, 0}, ""}}};
  EXPECT_THAT(Complaints({{"one", {{1050, 90, 0}, ""}}}, table), IsEmpty());
  EXPECT_EQ(Complaints({{"one", {{1051, 106, 1}, ""}}}, table).size(), 3U);
  EXPECT_EQ(Complaints({{"two", {{1, 1, 1}, ""}}}, table).size(), 2U);  // missing on either side
}

}  // namespace
}  // namespace sequela
