// ctest: labels=ptx
// Every kind of fault that we look to the interpreter for, seeded in a small kernel
// (tests/ptx/faults*/*.cu): the right kernel passes, its broken twin is caught.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <numeric>

#include "tests/ptx/instruction_testing.h"
#include "tests/ptx/interpreter/module.h"

namespace sequela::ptx {
namespace {

using ::testing::ContainsRegex;

constexpr std::uint32_t kThreads = 128;  // of tests/ptx/faults/fault.cuh

// How a broken kernel is caught: by a fault whose message matches, or by its result.
const std::string kRace = "race|written";  // the reader comes second, or first
const std::string kUnwritten = "written";  // read, but never written
const std::string kOutside = "allocation";
const std::string kAlignment = "align";
const std::string kDivergence = "only threads";
const std::string kDeadlock = "deadlock";
const std::string kNotLanded = kUnwritten;  // cp.async, before the wait for it
const std::string kUnseen = "without a fence.proxy.async";
const std::string kUnfenced = "no wgmma.fence";
const std::string kUnfinished = "unfinished product";
const std::string kResult = "(result)";
const std::string kBankConflicts = "(bank conflicts)";

using Values = std::vector<float>;

struct Exercise {
  std::string kernel;  // that is right
  std::size_t in = 128;
  std::size_t out = 128;
  Values (*expected)(const Values& in) = nullptr;
  std::uint32_t blocks = 1;
  std::uint32_t threads = kThreads;
};
struct SeededFault {
  std::string exercise;
  std::string fault;   // what follows the kernel's name
  std::string caught;  // one of the above
};

template <typename F>
Values Filled(std::size_t count, const F& f) {
  Values values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = f(i);
  return values;
}

Values SumOfTiles(const Values& in) {
  return Filled(128, [&](std::size_t i) {
    float sum = 0.0F;
    for (std::size_t tile = 0; tile < in.size() / 128; ++tile) {
      sum += in[tile * 128 + (i + 37) % 128];
    }
    return sum;
  });
}
Values SumOfRows(const Values& in) {
  return Filled(in.size() / 32, [&](std::size_t row) {
    return std::accumulate(in.begin() + row * 32, in.begin() + row * 32 + 32, 0.0F);
  });
}
Values ProductOfBoth(const Values& in) {
  return Filled(16 * 8, [&](std::size_t i) {
    float sum = 0.0F;
    for (std::size_t k = 0; k < 16; ++k) sum += in[i / 8 * 16 + k] * in[256 + k * 8 + i % 8];
    return sum;
  });
}
Values SumOfStages(const Values& in) {
  return Filled(512, [&](std::size_t i) {
    const std::size_t theirs = (i / 4 + 40) % 128 * 4 + i % 4;
    float sum = 0.0F;
    for (std::size_t at = theirs; at < in.size(); at += 512) sum += in[at];
    return sum;
  });
}

Values SumOfProducts(const Values& in) {
  constexpr std::size_t kEdge = 64;
  Values sum(kEdge * kEdge);
  for (std::size_t a = kEdge * kEdge; a < in.size(); a += kEdge * kEdge) {
    for (std::size_t i = 0; i < sum.size(); ++i) {
      sum[i] *= 0.5F;
      for (std::size_t k = 0; k < kEdge; ++k) {
        sum[i] += in[a + i / kEdge * kEdge + k] * in[i % kEdge * kEdge + k];
      }
    }
  }
  return sum;
}

// The inputs are small integers, so that sums are exact in any order.
const std::vector<Exercise>& Exercises() {
  static const std::vector<Exercise> exercises = {
      {.kernel = "reverse",
       .expected = [](const Values& in) { return Values(in.rbegin(), in.rend()); }},
      {.kernel = "sum_tiles", .in = 4 * 128, .expected = SumOfTiles},
      {.kernel = "sum",
       .out = 1,
       .expected =
           [](const Values& in) { return Values{std::accumulate(in.begin(), in.end(), 0.0F)}; }},
      {.kernel = "exchange",
       .in = 32,
       .out = 32,
       .expected =
           [](const Values& in) { return Filled(32, [&](std::size_t i) { return in[i ^ 1]; }); },
       .threads = 32},
      {.kernel = "each_block",
       .in = 4,
       .out = 4,
       .expected = [](const Values& in) { return in; },
       .blocks = 4},
      {.kernel = "count",
       .out = 1,
       .expected =
           [](const Values& in) {
             return Values{static_cast<float>(
                 std::count_if(in.begin(), in.end(), [](float x) { return x > 0; }))};
           }},
      {.kernel = "first_threads",
       .expected =
           [](const Values& in) {
             return Filled(128, [&](std::size_t i) { return i < 16 ? in[i ^ 8] : 0; });
           }},
      {.kernel = "pairs",
       .expected =
           [](const Values& in) { return Filled(128, [&](std::size_t i) { return in[i ^ 32]; }); }},
      {.kernel = "double",
       .in = 200,
       .out = 200,
       .expected =
           [](const Values& in) { return Filled(200, [&](std::size_t i) { return 2 * in[i]; }); },
       .blocks = 2},
      {.kernel = "neighbours",
       .in = 100,
       .out = 100,
       .expected =
           [](const Values& in) {
             return Filled(100,
                           [&](std::size_t i) { return in[i] + (i + 1 < 100 ? in[i + 1] : 0); });
           }},
      {.kernel = "vectors", .in = 512, .out = 512, .expected = [](const Values& in) { return in; }},
      {.kernel = "partly_filled",
       .in = 77,
       .out = 77,
       .expected = [](const Values& in) { return Values(in.rbegin(), in.rend()); }},
      {.kernel = "row_sums", .in = 150 * 32, .out = 150, .expected = SumOfRows},
      {.kernel = "transpose",
       .in = 1024,
       .out = 1024,
       .expected =
           [](const Values& in) {
             return Filled(1024, [&](std::size_t i) { return in[i % 32 * 32 + i / 32]; });
           }},
      {.kernel = "product", .in = 16 * 16 + 16 * 8, .expected = ProductOfBoth, .threads = 32},
      {.kernel = "pipeline", .in = 3 * 512 + 36, .out = 512, .expected = SumOfStages},
      {.kernel = "products", .in = 5 * 4096, .out = 4096, .expected = SumOfProducts},
  };
  return exercises;
}

const std::vector<SeededFault> kSeededFaults = {
    {"reverse", "dropped_barrier", kRace},
    {"sum_tiles", "dropped_second_barrier", kRace},
    {"sum", "dropped_barrier", kRace},
    {"exchange", "dropped_syncwarp", kRace},
    {"each_block", "shared_word", kRace},
    {"count", "plain_counter", kRace},
    {"first_threads", "divergent_barrier", kDivergence},
    {"pairs", "mismatched_barrier", kDeadlock},
    {"double", "mask_too_wide", kOutside},
    {"double", "mask_too_narrow", kResult},
    {"neighbours", "read_beyond", kOutside},
    {"vectors", "misaligned", kAlignment},
    {"partly_filled", "unwritten", kUnwritten},
    {"row_sums", "stale_accumulator", kResult},
    {"transpose", "wrong_swizzle", kResult},
    {"transpose", "no_swizzle", kBankConflicts},
    {"product", "not_transposed", kResult},
    {"pipeline", "no_wait", kNotLanded},
    {"pipeline", "wait_for_too_few", kNotLanded},
    {"pipeline", "no_commit", kNotLanded},
    {"pipeline", "dropped_barrier", kRace},
    {"pipeline", "dropped_second_barrier", kRace},
    {"pipeline", "read_beyond", kOutside},
    {"products", "no_proxy_fence", kUnseen},
    {"products", "early_proxy_fence", kUnseen},
    {"products", "dropped_barrier", kRace},
    {"products", "no_fence", kUnfenced},
    {"products", "after_fence", kUnfenced},
    {"products", "no_commit", kUnfinished},
    {"products", "no_wait", kUnfinished},
    {"products", "wait_for_too_few", kUnfinished},
    {"products", "wrong_swizzle", kResult},
    {"products", "overwritten", kUnfinished},
};

void LoadAllOnce() {
  static const bool loaded = [] {
    for (const char* folder : {SEQUELA_FAULTS_FOLDER, SEQUELA_HOPPER_FAULTS_FOLDER}) {
      for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        if (entry.path().extension() != ".ptx") continue;
        LoadText(TextOf(entry.path()), entry.path().filename());
      }
    }
    return true;
  }();
  (void)loaded;
}

Values InputOf(const Exercise& exercise) {
  return Filled(exercise.in,
                [](std::size_t i) { return static_cast<float>(static_cast<int>(i * i % 23) - 9); });
}

struct Outcome {
  std::string fault;  // empty: it ran to its end
  Values out;
  std::int64_t bank_conflicts = 0;
};

Outcome RunKernel(const Exercise& exercise, const std::string& kernel) {
  LoadAllOnce();
  struct {
    const float* in;
    float* out;
    int count;
  } params{};
  Registered<float> in(InputOf(exercise));
  Registered<float> out(Values(exercise.out, -12345.0F));
  params = {in.data(), out.data(), static_cast<int>(exercise.in)};
  TakeCounts();
  Outcome outcome;
  outcome.fault = FaultOf([&] {
    Run({.name = kernel.c_str(),
         .grid = {exercise.blocks, 1, 1},
         .block = {exercise.threads, 1, 1},
         .parameters = &params,
         .parameters_bytes = sizeof(params)});
  });
  outcome.out = out.values();
  outcome.bank_conflicts = TakeCounts()[kernel].bank_conflicts;
  return outcome;
}

class RightKernelTest : public ::testing::TestWithParam<Exercise> {};

TEST_P(RightKernelTest, Passes) {
  const Outcome outcome = RunKernel(GetParam(), "fault_" + GetParam().kernel);
  EXPECT_EQ(outcome.fault, "");
  EXPECT_EQ(outcome.out, GetParam().expected(InputOf(GetParam())));
  // The twin of "transpose" is right but for these.
  if (GetParam().kernel == "transpose") {
    EXPECT_EQ(outcome.bank_conflicts, 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Faults, RightKernelTest, ::testing::ValuesIn(Exercises()),
                         [](const auto& test) { return test.param.kernel; });

class SeededFaultTest : public ::testing::TestWithParam<SeededFault> {};

TEST_P(SeededFaultTest, IsCaught) {
  const Exercise& exercise =
      *std::find_if(Exercises().begin(), Exercises().end(),
                    [](const Exercise& e) { return e.kernel == GetParam().exercise; });
  const Values expected = exercise.expected(InputOf(exercise));
  const Outcome outcome = RunKernel(exercise, "fault_" + exercise.kernel + "_" + GetParam().fault);
  if (GetParam().caught == kResult) {
    EXPECT_EQ(outcome.fault, "");
    EXPECT_NE(outcome.out, expected);
  } else if (GetParam().caught == kBankConflicts) {
    EXPECT_EQ(outcome.fault, "");
    EXPECT_EQ(outcome.out, expected);
    EXPECT_GT(outcome.bank_conflicts, 0);
  } else {
    EXPECT_THAT(outcome.fault, ContainsRegex(GetParam().caught));
  }
}

INSTANTIATE_TEST_SUITE_P(Faults, SeededFaultTest, ::testing::ValuesIn(kSeededFaults),
                         [](const auto& test) {
                           return test.param.exercise + "_" + test.param.fault;
                         });

}  // namespace
}  // namespace sequela::ptx
