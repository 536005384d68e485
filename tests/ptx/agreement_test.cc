// ctest: cuda_only
// The interpreter beside a GPU. Interpreted, the operations' results are recorded to the file that
// SEQUELA_AGREEMENT names; on a GPU they are compared with it. Kernels without tensor cores and
// without approximate instructions must have written the same bits; of the others, whose sums and
// last places differ by design (interpreter.h), results may lie one rounding apart.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "kernels/cuda/launch.h"
#include "tests/ptx/interpreter.h"
#include "tests/ptx/module_texts.h"
#include "tests/ptx/operations.h"
#include "tests/testing/temp_folder.h"

namespace sequela::ptx {
namespace {

struct Recorded {
  bool exact = false;  // none of its kernels approximates
  Results results;
};
using Record = std::map<std::string, Recorded>;

std::string NameOf(const Operation& operation, DType type) {
  return fmt::format("{}/{}", operation.name, type == DType::kFloat32 ? "fp32" : "bf16");
}

// The products between cross-entropy's kernels are a library's, and not the interpreter's.
std::vector<Operation> ComparedOperations() {
  std::vector<Operation> compared;
  for (const Operation& operation : kOperations) {
    if (std::string_view(operation.name) != "cross_entropy") compared.push_back(operation);
  }
  return compared;
}

bool IsExact(const std::string& kernel) {
  const ModuleTexts::Place place = ModuleTexts::All().Find(kernel);
  EXPECT_NE(place.text, nullptr) << kernel;
  if (place.text == nullptr) return false;
  const auto body = std::string_view(*place.text).substr(place.begin, place.end - place.begin);
  return body.find(".approx") == body.npos && body.find("mma.") == body.npos;
}

// With the kernels of all GPUs, but where the operation asks for others itself.
Results RunOperation(const Operation& operation, DType type) {
  const cuda::TestSeam before = cuda::Seam();
  cuda::TestSeam any_gpu = before;
  any_gpu.hopper = false;
  cuda::TEST_SetSeam(any_gpu);
  Results results = operation.run(type);
  cuda::TEST_SetSeam(before);
  return results;
}

Record Interpret() {
  Record record;
  for (const Operation& operation : ComparedOperations()) {
    for (const DType type : {DType::kFloat32, DType::kBFloat16}) {
      TakeCounts();
      Recorded& recorded = record[NameOf(operation, type)];
      recorded.results = RunOperation(operation, type);
      recorded.exact = true;
      for (const auto& [kernel, counts] : TakeCounts()) recorded.exact &= IsExact(kernel);
    }
  }
  return record;
}

// For each operation a line that says what follows, then the bytes.
void Save(const Record& record, const std::filesystem::path& path) {
  std::ofstream file(path, std::ios::binary);
  for (const auto& [name, recorded] : record) {
    nlohmann::json line = {
        {"name", name}, {"exact", recorded.exact}, {"parts", nlohmann::json::array()}};
    for (const Written& part : recorded.results) {
      line["parts"].push_back({static_cast<int>(part.type), part.bytes.size()});
    }
    file << line.dump() << '\n';
    for (const Written& part : recorded.results) {
      file.write(reinterpret_cast<const char*>(part.bytes.data()), std::ssize(part.bytes));
    }
  }
  ASSERT_TRUE(file.flush().good()) << path;
}
Record Load(const std::filesystem::path& path) {
  Record record;
  std::ifstream file(path, std::ios::binary);
  for (std::string text; std::getline(file, text);) {
    const auto line = nlohmann::json::parse(text);
    Recorded& recorded = record[line["name"]];
    recorded.exact = line["exact"];
    for (const auto& [type, size] : line["parts"].get<std::vector<std::pair<int, std::size_t>>>()) {
      Written& part =
          recorded.results.emplace_back(static_cast<DType>(type), std::vector<std::byte>(size));
      file.read(reinterpret_cast<char*>(part.bytes.data()), std::ssize(part.bytes));
    }
  }
  return record;
}

std::vector<double> NumbersOf(const Written& part) {
  std::vector<double> numbers;
  const std::size_t size = part.type == DType::kFloat32 ? 4 : 2;
  for (std::size_t i = 0; i + size <= part.bytes.size(); i += size) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, part.bytes.data() + i, size);
    if (size == 2) bits <<= 16;
    numbers.push_back(std::bit_cast<float>(bits));
  }
  return numbers;
}

// What is wrong; empty: nothing. `different` counts numbers that are not the same.
//
// Of a bf16 result two computations that differ in fp32's last places may round to neighbours, and
// so may what it was made of: 2^-7 of the number, and as much of the part's size as one of its
// terms may lose. What stays in fp32 sums numbers that were rounded alike.
std::string Complaint(const Written& got, const Written& expected, bool exact,
                      std::int64_t& different) {
  if (got.bytes == expected.bytes) return "";
  if (exact) return "other bits";
  const std::vector<double> a = NumbersOf(got), b = NumbersOf(expected);
  if (a.size() != b.size() || got.type != expected.type) return "another shape";
  double squares = 0.0;
  std::int64_t finite = 0;
  for (const double number : b) {
    if (!std::isfinite(number)) continue;
    squares += number * number;
    ++finite;
  }
  const double size = std::sqrt(squares / static_cast<double>(std::max<std::int64_t>(finite, 1)));
  const bool half = got.type == DType::kBFloat16;
  std::string complaint;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i]))) continue;
    ++different;
    const double allowed = half ? std::abs(b[i]) * 0x1p-7 + size * 0x1p-8 : size * 0x1p-16;
    if (!(std::abs(a[i] - b[i]) <= allowed)) {
      complaint = fmt::format("number {}: {} instead of {}", i, a[i], b[i]);
    }
  }
  return complaint;
}

TEST(AgreementRecordTest, HoldsWhatTheInterpreterWrote) {
  if (!testing::OnPtx()) GTEST_SKIP() << "about the interpreter";
  const Record record = Interpret();
  const testing::TempFolder folder;
  const char* wanted = std::getenv("SEQUELA_AGREEMENT");
  const std::filesystem::path path = wanted != nullptr ? wanted : folder.path() / "record";
  Save(record, path);
  const Record read = Load(path);
  ASSERT_EQ(read.size(), record.size());
  for (const auto& [name, recorded] : record) {
    EXPECT_EQ(read.at(name).exact, recorded.exact) << name;
    EXPECT_EQ(read.at(name).results, recorded.results) << name;
  }
  for (const char* name :
       {"elementwise", "bias", "embedding", "dropout", "time_rope", "optimizer"}) {
    for (const char* type : {"fp32", "bf16"}) {
      EXPECT_TRUE(record.at(fmt::format("{}/{}", name, type)).exact) << name << " " << type;
    }
  }
  EXPECT_FALSE(record.at("attention/bf16").exact);
  EXPECT_FALSE(record.at("attention_hopper/bf16").exact);
}

TEST(AgreementRecordTest, FindsWhatDiffers) {
  const auto part = [](DType type, std::vector<float> numbers) {
    Written written{type, {}};
    for (const float number : numbers) {
      const auto bits = std::bit_cast<std::uint32_t>(number);
      const auto* bytes = reinterpret_cast<const std::byte*>(&bits);
      const bool half = type == DType::kBFloat16;
      written.bytes.insert(written.bytes.end(), bytes + (half ? 2 : 0), bytes + 4);
    }
    return written;
  };
  std::int64_t different = 0;
  const auto says = [&](DType type, float one, float other, bool exact) {
    return Complaint(part(type, {1.0F, one}), part(type, {1.0F, other}), exact, different);
  };
  EXPECT_EQ(says(DType::kFloat32, 2.0F, 2.0F, true), "");
  EXPECT_EQ(says(DType::kFloat32, 2.0F, 2.0000002F, true), "other bits");
  EXPECT_EQ(says(DType::kFloat32, 2.0F, 2.0000002F, false), "");
  EXPECT_NE(says(DType::kFloat32, 2.0F, 2.001F, false), "");
  EXPECT_EQ(says(DType::kBFloat16, 2.0F, 2.015625F, false), "");
  EXPECT_NE(says(DType::kBFloat16, 2.0F, 2.0625F, false), "");
  EXPECT_NE(says(DType::kBFloat16, 2.0F, NAN, false), "");
  EXPECT_EQ(different, 5);
}

class AgreementTest : public ::testing::TestWithParam<Operation> {};

TEST_P(AgreementTest, OfAGpu) {
  if (testing::ChosenBackend() != testing::TestBackend::kGpu) GTEST_SKIP() << "about a GPU";
  const char* path = std::getenv("SEQUELA_AGREEMENT");
  if (path == nullptr) GTEST_SKIP() << "SEQUELA_AGREEMENT names no record of the interpreter's";
  static const Record record = Load(path);
  if (std::string_view(GetParam().name) == "attention_hopper" && !cuda::IsHopper()) {
    GTEST_SKIP() << "this GPU is of another kind";
  }
  for (const DType type : {DType::kFloat32, DType::kBFloat16}) {
    const std::string name = NameOf(GetParam(), type);
    ASSERT_TRUE(record.contains(name)) << name;
    const Recorded& recorded = record.at(name);
    const Results results = RunOperation(GetParam(), type);
    ASSERT_EQ(results.size(), recorded.results.size()) << name;
    std::int64_t different = 0;
    for (std::size_t i = 0; i < results.size(); ++i) {
      EXPECT_EQ(Complaint(results[i], recorded.results[i], recorded.exact, different), "")
          << name << ", result " << i;
    }
    RecordProperty(type == DType::kFloat32 ? "fp32" : "bf16",
                   recorded.exact ? "exact" : fmt::format("{} numbers differ", different));
  }
}

INSTANTIATE_TEST_SUITE_P(Operations, AgreementTest, ::testing::ValuesIn(ComparedOperations()),
                         [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace sequela::ptx
