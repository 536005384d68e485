// ctest: cuda_only
// The interpreter beside a GPU. Interpreted, the operations' results are recorded to the file that
// SEQUELA_AGREEMENT names; on a GPU they are compared with it. Kernels without tensor cores and
// without approximate instructions must have written the same bits. Of the others sums and last
// places differ by design (interpreter.h): attention's are held to the rule for errors, with the
// interpreter as the plain implementation.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "kernels/cuda/launch.h"
#include "tests/ptx/interpreter/interpreter.h"
#include "tests/ptx/interpreter/operations.h"
#include "tests/ptx/module_texts.h"
#include "tests/reference/attention.h"
#include "tests/testing/temp_folder.h"
#include "tests/testing/tolerance.h"

namespace sequela::ptx {
namespace {

using reference::Matrix;

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

// As on any GPU, but where the operation asks for sm_90a itself.
Results RunOperation(const Operation& operation, DType type) {
  return RunAs(false, operation.run, type);
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
      recorded.results.push_back({static_cast<DType>(type), std::vector<std::byte>(size)});
      Written& part = recorded.results.back();
      file.read(reinterpret_cast<char*>(part.bytes.data()), std::ssize(part.bytes));
    }
  }
  return record;
}

template <typename T>
T Read(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof(value));
  return value;
}

// The numbers without what surrounds them.
Matrix<double> NumbersOf(const Written& part, std::int64_t rows, std::int64_t columns) {
  Matrix<double> numbers(rows, columns);
  const auto size = static_cast<std::size_t>(SizeOf(part.type));
  const std::size_t begin = (part.bytes.size() / size - numbers.values.size()) / 2;
  for (std::size_t i = 0; i < numbers.values.size(); ++i) {
    const std::byte* const from = part.bytes.data() + (begin + i) * size;
    numbers.values[i] =
        part.type == DType::kFloat32 ? Read<float>(from) : ToFloat(Read<bf16>(from));
  }
  return numbers;
}

// In fp64: what `Attention` of operations.h gives, in its order.
std::vector<Matrix<double>> ExactAttention(DType type) {
  const AttentionPlan plan = AttentionPlan::Causal(kDocuments);
  const auto values = [&](std::int64_t columns) { return Random(type, kTokens, columns).values(); };
  const reference::AttentionInput<double> in{values(kQueryWidth), values(kKeyWidth),
                                             values(kKeyWidth)};
  const reference::AttentionRules rules{
      .query_heads = kHeads.num_query_heads,
      .key_heads = kHeads.num_key_heads,
      .scale = kSoftmaxScale,
      .kv_begin = {plan.kv_begin().begin(), plan.kv_begin().end()},
      .kv_end = {plan.kv_end().begin(), plan.kv_end().end()}};
  const auto forward = reference::Attention(rules, in);
  const auto backward = reference::AttentionBackward(rules, in, forward, in.q);
  return {forward.out, forward.lse, backward.dq, backward.dk, backward.dv};
}

// Attention's results against those that the interpreter recorded, by the rule for errors.
::testing::AssertionResult AttentionAgrees(DType type, const Results& got,
                                           const Results& recorded) {
  const std::vector<Matrix<double>> exact = ExactAttention(type);
  for (std::size_t i = 0; i < exact.size(); ++i) {
    const auto numbers = [&](const Written& part) {
      return NumbersOf(part, exact[i].rows, exact[i].columns);
    };
    const auto agrees = testing::WithinTheRule(numbers(got[i]), numbers(recorded[i]), exact[i],
                                               testing::Sums::kInAnotherOrder);
    if (!agrees) return ::testing::AssertionFailure() << "result " << i << ": " << agrees.message();
  }
  return ::testing::AssertionSuccess();
}

// Of single approximate instructions: numbers of the same size to 2^-7 where they are stored as
// bf16, which two neighbours of fp32 may round to different ones of, and to 2^-16 otherwise.
::testing::AssertionResult NumbersAgree(const Written& got, const Written& recorded) {
  const auto all = [](const Written& part) {
    const auto count = std::ssize(part.bytes) / SizeOf(part.type);
    return NumbersOf(part, 1, count).values;
  };
  const std::vector<double> a = all(got), b = all(recorded);
  const double share = got.type == DType::kBFloat16 ? 0x1p-7 : 0x1p-16;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const bool agree =
        std::isnan(b[i]) ? std::isnan(a[i]) : std::abs(a[i] - b[i]) <= share * std::abs(b[i]);
    if (!agree) return ::testing::AssertionFailure() << a[i] << " instead of " << b[i];
  }
  return ::testing::AssertionSuccess();
}

::testing::AssertionResult Agrees(const Operation& operation, DType type, const Results& got,
                                  const Recorded& recorded) {
  const Results& expected = recorded.results;
  if (got == expected) return ::testing::AssertionSuccess();
  if (recorded.exact || got.size() != expected.size()) {
    return ::testing::AssertionFailure() << "other bits";
  }
  if (std::string_view(operation.name).starts_with("attention")) {
    return AttentionAgrees(type, got, expected);
  }
  for (std::size_t i = 0; i < got.size(); ++i) {
    const auto agree = NumbersAgree(got[i], expected[i]);
    if (!agree) return agree;
  }
  return ::testing::AssertionSuccess();
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
  if (!testing::OnPtx()) GTEST_SKIP() << "about the interpreter";
  const auto agrees = [](const Operation& operation, bool exact, std::size_t byte) {
    const Recorded recorded{exact, RunOperation(operation, DType::kBFloat16)};
    Results results = recorded.results;
    std::byte& changed = results[0].bytes[results[0].bytes.size() / 2 + byte];
    changed ^= std::byte{0x40};
    return static_cast<bool>(Agrees(operation, DType::kBFloat16, results, recorded));
  };
  const Operation bias{"bias", Bias}, attention{"attention", Attention};
  EXPECT_FALSE(agrees(bias, true, 0));
  EXPECT_FALSE(agrees(attention, true, 0));
  EXPECT_FALSE(agrees(attention, false, 1));  // in the exponent
  EXPECT_FALSE(agrees(bias, false, 1));
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
    if (recorded.results.empty()) continue;  // the kernels know one type alone
    const Results results = RunOperation(GetParam(), type);
    const auto agrees = Agrees(GetParam(), type, results, recorded);
    EXPECT_TRUE(agrees) << name;
    RecordProperty(type == DType::kFloat32 ? "fp32" : "bf16",
                   results == recorded.results ? "the same bits"
                   : agrees                    ? "within the rule for errors"
                                               : "apart");
  }
}

INSTANTIATE_TEST_SUITE_P(Operations, AgreementTest, ::testing::ValuesIn(ComparedOperations()),
                         [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace sequela::ptx
