// ctest: labels=ptx
#include "tests/ptx/lint.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "tests/ptx/interpreter/module.h"

namespace sequela::ptx {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Kernels whose PTX may keep an array in local memory. Here: the four words of a Philox block, of
// which dropout takes one by an index; ptxas makes selections of it (budgets.txt: no local memory).
constexpr std::int64_t kPhiloxBlock = 16;
const std::map<std::string, std::int64_t> kLocalBytes = {
    {"sequela_attention_plain_forward_f32", kPhiloxBlock},
    {"sequela_attention_plain_forward_bf16", kPhiloxBlock},
    {"sequela_attention_plain_dq_f32", kPhiloxBlock},
    {"sequela_attention_plain_dq_bf16", kPhiloxBlock},
    {"sequela_attention_plain_dkv_f32", kPhiloxBlock},
    {"sequela_attention_plain_dkv_bf16", kPhiloxBlock},
};

std::vector<std::string> InWords(const std::vector<Finding>& findings) {
  std::vector<std::string> words;
  words.reserve(findings.size());
  for (const Finding& f : findings) {
    words.push_back(f.rule + ": " + f.kernel + ":" + std::to_string(f.line) + ": " + f.statement);
  }
  return words;
}

// The text of every file of a folder that has this extension.
std::map<std::filesystem::path, std::string> FilesOf(const std::filesystem::path& folder,
                                                     const std::string& extension) {
  std::map<std::filesystem::path, std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != extension) continue;
    std::ostringstream text;
    text << std::ifstream(entry.path()).rdbuf();
    files[entry.path()] = text.str();
  }
  return files;
}

TEST(BuiltKernelsTest, KeepToTheRules) {
  const auto local = [](const std::string& kernel) {
    const auto stated = kLocalBytes.find(kernel);
    return stated == kLocalBytes.end() ? 0 : stated->second;
  };
  const auto files = BuiltModules();
  EXPECT_FALSE(files.empty());
  for (const auto& path : files) {
    const std::vector<std::string> findings = InWords(Lint(TextOf(path), local));
    EXPECT_TRUE(findings.empty()) << path << "\n" << fmt::format("{}", fmt::join(findings, "\n"));
  }
}

// One architecture's PTX stands for those of all that are shipped as long as no source asks which.
TEST(BuiltKernelsTest, AreTheSameForEveryArchitecture) {
  const auto folder = std::filesystem::path(SEQUELA_SOURCE_DIR) / "kernels/cuda";
  for (const std::string extension : {".cu", ".cuh", ".h"}) {
    const auto files = FilesOf(folder, extension);
    EXPECT_FALSE(files.empty()) << extension;
    for (const auto& [path, text] : files) {
      EXPECT_EQ(text.find("__CUDA_ARCH"), std::string::npos) << path << ": interpret it for each";
    }
  }
}

// The rules that a body breaks in a kernel that is well made otherwise.
std::vector<std::string> Broken(const std::string& body, const std::string& before = "",
                                std::int64_t local_bytes = 0) {
  const std::string text = ".version 9.0\n.target sm_90a\n.address_size 64\n" + before +
                           "\n.visible .entry sequela_k(.param .b64 p)\n.maxntid 128\n{\n" + body +
                           "\nret;\n}\n";
  std::vector<std::string> rules;
  for (const Finding& f : Lint(text, [&](const std::string&) { return local_bytes; })) {
    rules.push_back(f.rule);
  }
  return rules;
}

TEST(LintTest, LetsOrdinaryCodePass) {
  EXPECT_THAT(
      Broken("{ .reg .f32 %f<4>; // call printf\n"
             "mul.rn.f32 %f1, %f2, %f3; fma.rn.f32 %f1, %f2, %f3, %f1;\n"
             "add.rz.ftz.f32 %f1, %f2, 0f3F800000; @%p1 sub.rn.f64 %d1, %d2, %d3; }\n"
             "atom.global.add.u32 %r1, [%rd1], 1; red.shared.or.b32 [%r2], %r1;\n"
             "mul.lo.s32 %r1, %r2, %r3; add.s64 %rd1, %rd2, %rd3; mul.wide.u32 %rd1, %r1, 4;\n"
             "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%f0}, {%r1}, {%r2}, {%f0};\n"
             "wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%f0, %f1, %f2, %f3}, %rd1,\n"
             "%rd2, p, 1, 1, 0, 1; fence.proxy.async.shared::cta;\n"
             "setmaxnreg.inc.sync.aligned.u32 240; $L__BB0_1: /* wmma.mma tex.2d */"),
      IsEmpty());
}

TEST(LintTest, FindsCalls) {
  EXPECT_THAT(Broken("call.uni (retval0), helper, (param0);"), ElementsAre("call"));
  EXPECT_THAT(Broken("@%p1 call helper;"), ElementsAre("call"));
}

TEST(LintTest, FindsFunctionsAndRecursion) {
  EXPECT_THAT(Broken("", ".func again(.param .b32 n)\n{\ncall.uni again, (n);\nret;\n}\n"),
              ElementsAre("function", "call"));
}

TEST(LintTest, FindsPrintf) {
  EXPECT_THAT(Broken("call.uni (r), vprintf, (a, b);"), ElementsAre("call", "printf"));
  EXPECT_THAT(Broken("", ".extern .func (.param .b32 r) vprintf (.param .b64 a);"),
              ElementsAre("function", "printf"));
}

TEST(LintTest, FindsMalloc) {
  EXPECT_THAT(Broken("call.uni (r), malloc, (a);"), ElementsAre("call", "malloc"));
  EXPECT_THAT(Broken("alloca.u64 %rd1, %rd2;"), ElementsAre("malloc"));
}

TEST(LintTest, FindsTexturesAndSurfaces) {
  EXPECT_THAT(Broken("tex.2d.v4.f32.f32 {%f1, %f2, %f3, %f4}, [t, {%f5, %f6}];"),
              ElementsAre("texture"));
  EXPECT_THAT(Broken("sust.b.1d.b32.clamp [s, {%r1}], {%r2};"), ElementsAre("texture"));
  EXPECT_THAT(Broken("", ".global .texref t;"), ElementsAre("texture"));
}

TEST(LintTest, FindsSinesInFp64) {
  EXPECT_THAT(Broken("mov.u64 %rd4, __cudart_sin_cos_coeffs;"), ElementsAre("fp64-trig"));
  EXPECT_THAT(Broken("mul.rn.f64 %fd1, %fd2, 0d400921FB54442D18;"), ElementsAre("fp64-trig"));
  EXPECT_THAT(Broken("sin.approx.f32 %f1, %f2;"), IsEmpty());
}

TEST(LintTest, FindsWmma) {
  EXPECT_THAT(Broken("wmma.load.a.sync.aligned.row.m16n16k16.f16 {%r1}, [%rd1], %r2;"),
              ElementsAre("wmma"));
}

TEST(LintTest, FindsFloatAtomics) {
  EXPECT_THAT(Broken("atom.global.add.f32 %f1, [%rd1], %f2;"), ElementsAre("float-atomic"));
  EXPECT_THAT(Broken("red.relaxed.gpu.global.add.f64 [%rd1], %fd2;"), ElementsAre("float-atomic"));
  EXPECT_THAT(Broken("red.global.add.noftz.bf16x2 [%rd1], %r2;"), ElementsAre("float-atomic"));
  EXPECT_THAT(Broken("@!%p2 atom.shared.add.noftz.bf16 %rs1, [%r1], %rs2;"),
              ElementsAre("float-atomic"));
  EXPECT_THAT(
      Broken("cp.reduce.async.bulk.global.shared::cta.bulk_group.add.f32 [%rd1], [%r1], %r2;"),
      ElementsAre("float-atomic"));
}

TEST(LintTest, FindsSumsAndProductsThatMayBeFused) {
  EXPECT_THAT(Broken("mul.f32 %f1, %f2, %f3;"), ElementsAre("rounding"));
  EXPECT_THAT(Broken("@%p1 add.ftz.f32 %f1, %f2, %f3;"), ElementsAre("rounding"));
  EXPECT_THAT(Broken("sub.f64 %fd1, %fd2, %fd3;"), ElementsAre("rounding"));
}

TEST(LintTest, FindsLocalMemoryAboveWhatIsStated) {
  const std::string array = ".local .align 8 .b8 __local_depot0[40]; .local .f32 x;";
  EXPECT_THAT(Broken(array, "", 43), ElementsAre("local"));
  EXPECT_THAT(Broken(array, "", 44), IsEmpty());
}

TEST(LintTest, FindsKernelsWithoutBoundsAndWhatTheyThenIgnore) {
  const auto rules = Lint(
      ".visible .entry sequela_k()\n{\nsetmaxnreg.dec.sync.aligned.u32 40;\n}\n"
      ".visible .entry other()\n.maxntid 32, 1, 1\n{\nret;\n}\n");
  EXPECT_THAT(InWords(rules),
              ElementsAre("maxntid: sequela_k:2: {",
                          "setmaxnreg: sequela_k:3: setmaxnreg.dec.sync.aligned.u32 40 ;",
                          "name: other:5: .visible .entry other ( )"));
}

}  // namespace
}  // namespace sequela::ptx
