#include "tests/ptx/interpreter/interpreter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/base/check.h"

namespace sequela::ptx {
namespace {

constexpr std::uint32_t kThreads = 64;

// A kernel of one pointer, %rd1, to one 32-bit word a thread (at %rd2), whose index is %r1.
std::string Kernel(const std::string& body) {
  return R"(.version 9.0
.target sm_80
.address_size 64
.visible .entry sequela_try(.param .align 8 .b8 sequela_try_param_0[8])
{
  .reg .pred %p<8>;
  .reg .b16 %rs<8>;
  .reg .f32 %f<16>;
  .reg .b32 %r<32>;
  .reg .b64 %rd<8>;
  .shared .align 16 .b8 tile[1024];
  ld.param.u64 %rd1, [sequela_try_param_0];
  mov.u32 %r1, %tid.x;
  mul.wide.u32 %rd3, %r1, 4;
  add.s64 %rd2, %rd1, %rd3;
  mov.u32 %r2, tile;
  shl.b32 %r3, %r1, 2;
  add.s32 %r4, %r2, %r3;
)" + body +
         "\n  ret;\n}\n";
}

class InterpreterTest : public ::testing::Test {
 protected:
  InterpreterTest() { RegisterMemory(words_.data(), words_.size() * 4); }
  ~InterpreterTest() override { UnregisterMemory(words_.data()); }

  void Try(const std::string& body, std::uint32_t blocks = 1) {
    LoadText(Kernel(body));
    std::uint32_t* pointer = words_.data();
    ptx::Run({.name = "sequela_try",
              .grid = {blocks, 1, 1},
              .block = {kThreads, 1, 1},
              .parameters = &pointer,
              .parameters_bytes = sizeof(pointer)});
  }
  std::string FaultOf(const std::string& body, std::uint32_t blocks = 1) {
    try {
      Try(body, blocks);
    } catch (const InternalError& error) {
      return error.what();
    }
    return "no fault";
  }

  std::vector<std::uint32_t> words_ = std::vector<std::uint32_t>(kThreads, 0);
};

TEST_F(InterpreterTest, EveryThreadStoresItsIndex) {
  Try("st.global.u32 [%rd2], %r1;");
  for (std::uint32_t i = 0; i < kThreads; ++i) EXPECT_EQ(words_[i], i);
}

TEST_F(InterpreterTest, ThreadsMeetAgainBehindALoopOfTheirOwnLength) {
  Try(R"(mov.u32 %r5, 0;
  mov.u32 %r6, %laneid;
$again:
  setp.eq.s32 %p1, %r6, 0;
  @%p1 bra $done;
  add.s32 %r5, %r5, %r6;
  add.s32 %r6, %r6, -1;
  bra.uni $again;
$done:
  shfl.sync.bfly.b32 %r7|%p2, %r5, 1, 31, -1;
  st.global.u32 [%rd2], %r7;)");
  for (std::uint32_t i = 0; i < kThreads; ++i) {
    const std::uint32_t other = (i ^ 1U) % 32;
    EXPECT_EQ(words_[i], other * (other + 1) / 2);
  }
}

TEST_F(InterpreterTest, SharedMemoryBehindABarrierIsOrdered) {
  Try(R"(st.shared.u32 [%r4], %r1;
  bar.sync 0;
  xor.b32 %r5, %r3, 252;
  add.s32 %r5, %r5, %r2;
  ld.shared.u32 %r6, [%r5];
  st.global.u32 [%rd2], %r6;)");
  for (std::uint32_t i = 0; i < kThreads; ++i) EXPECT_EQ(words_[i], i ^ 63U);
}

TEST_F(InterpreterTest, SharedMemoryWithoutABarrierRaces) {
  EXPECT_THAT(FaultOf(R"(st.shared.u32 [%r4], %r1;
  xor.b32 %r5, %r3, 4;
  add.s32 %r5, %r5, %r2;
  ld.shared.u32 %r6, [%r5];)"),
              ::testing::HasSubstr("race"));
}

TEST_F(InterpreterTest, BlocksThatStoreTheSameWordsRace) {
  EXPECT_THAT(FaultOf("st.global.u32 [%rd2], %r1;", 2), ::testing::HasSubstr("block 0"));
}

TEST_F(InterpreterTest, AnAddressBeyondTheAllocationIsNamed) {
  EXPECT_THAT(FaultOf("st.global.u32 [%rd2+4], %r1;"),
              ::testing::AllOf(::testing::HasSubstr("thread 63"),
                               ::testing::HasSubstr("st.global.u32 [%rd2+4], %r1;")));
}

TEST_F(InterpreterTest, AsynchronousCopiesAreThereOnlyBehindTheWait) {
  const std::string copy = "cp.async.ca.shared.global [%r4], [%rd2], 4;\ncp.async.commit_group;\n";
  const std::string use = "ld.shared.u32 %r5, [%r4];\nst.global.u32 [%rd2], %r5;";
  EXPECT_THAT(FaultOf(copy + use), ::testing::HasSubstr("not all of them written"));
  for (std::uint32_t i = 0; i < kThreads; ++i) words_[i] = 7 * i;
  Try(copy + "cp.async.wait_group 0;\nadd.s32 %r1, %r1, 1;\n" + use);
  for (std::uint32_t i = 0; i < kThreads; ++i) EXPECT_EQ(words_[i], 7 * i);
}

TEST_F(InterpreterTest, AProductOfMatricesOfOnes) {
  Try(R"(mov.u32 %r10, 1065369472;
  mov.f32 %f1, 0f3F800000;
  mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%f2, %f3, %f4, %f5}, {%r10, %r10, %r10, %r10}, {%r10, %r10}, {%f1, %f1, %f1, %f1};
  cvt.rzi.s32.f32 %r11, %f5;
  st.global.u32 [%rd2], %r11;)");
  for (const std::uint32_t word : words_) EXPECT_EQ(word, 17U);
}

TEST_F(InterpreterTest, ABarrierThatPartOfAWarpReachesIsAFault) {
  EXPECT_THAT(FaultOf("setp.lt.u32 %p1, %r1, 5;\n@%p1 bar.sync 0;"),
              ::testing::HasSubstr("of the warp come here"));
}

TEST_F(InterpreterTest, AnUnknownInstructionIsNamed) {
  EXPECT_THAT(FaultOf("dp4a.u32.u32 %r5, %r1, %r1, %r1;"),
              ::testing::HasSubstr("unknown instruction"));
}

}  // namespace
}  // namespace sequela::ptx
