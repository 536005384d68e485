// ctest: labels=ptx
// Branches, scopes, barriers, special registers.
#include <gtest/gtest.h>

#include "tests/ptx/instruction_testing.h"

namespace sequela::ptx {
namespace {

// %rq of every thread of a block after `body`.
std::vector<std::uint32_t> Each(const std::string& body, std::uint32_t threads = 64) {
  Registered<std::uint32_t> out(threads);
  RunText(KernelText("sequela_text",
                     body + "\nmul.wide.u32 %row, %thread, 4;\nadd.s64 %row, %out, %row;\n"
                            "st.global.u32 [%row], %rq;"),
          out.data(), out.data(), threads);
  return out.values();
}
template <typename F>
std::vector<std::uint32_t> Expected(const F& f, std::uint32_t threads = 64) {
  std::vector<std::uint32_t> values(threads);
  for (std::uint32_t i = 0; i < threads; ++i) values[i] = f(i);
  return values;
}

TEST(ControlTest, LanesBranchApartAndMeet) {
  EXPECT_EQ(
      Each("and.b32 %r1, %thread, 1;\nsetp.eq.u32 %p1, %r1, 0;\n@%p1 bra EVEN;\n"
           "mul.lo.u32 %rq, %thread, 3;\nbra.uni MEET;\nEVEN:\nadd.u32 %rq, %thread, 100;\nMEET:\n"
           "add.u32 %rq, %rq, 1;"),
      Expected([](std::uint32_t i) { return (i % 2 == 0 ? i + 100 : 3 * i) + 1; }));
}

TEST(ControlTest, LoopsOfDifferentLengths) {
  EXPECT_EQ(Each("mov.u32 %rq, 0;\nmov.u32 %r1, 0;\nLOOP:\nsetp.ge.u32 %p1, %r1, %thread;\n"
                 "@%p1 bra DONE;\nadd.u32 %rq, %rq, %r1;\nadd.u32 %r1, %r1, 1;\nbra LOOP;\nDONE:"),
            Expected([](std::uint32_t i) { return i * (i - 1) / 2; }));
}

TEST(ControlTest, PredicatesGuardSingleInstructions) {
  EXPECT_EQ(Each("mov.u32 %rq, 5;\nsetp.gt.u32 %p1, %thread, 9;\n@%p1 mov.u32 %rq, 6;\n"
                 "@!%p1 add.u32 %rq, %rq, 10;"),
            Expected([](std::uint32_t i) { return i > 9 ? 6U : 15U; }));
}

TEST(ControlTest, ScopesShadowNames) {
  EXPECT_EQ(Each("mov.u32 %r1, 1;\n{\n.reg .b32 %r1;\nmov.u32 %r1, 2;\n{\n.reg .b32 x, %r1;\n"
                 "mov.u32 %r1, 3;\nmov.u32 x, %r1;\nadd.u32 %rq, x, 0;\n}\n"
                 "add.u32 %rq, %rq, %r1;\n}\nadd.u32 %rq, %rq, %r1;"),
            Expected([](std::uint32_t) { return 6U; }));
}

TEST(ControlTest, LabelsAreOfTheirScope) {
  const std::string part =
      "{\nsetp.eq.u32 %p1, %thread, 3;\n@%p1 bra SKIP;\nadd.u32 %rq, %rq, 1;\nSKIP:\n}\n";
  EXPECT_EQ(Each("mov.u32 %rq, 0;\n" + part + part),
            Expected([](std::uint32_t i) { return i == 3 ? 0U : 2U; }));
}

TEST(ControlTest, BranchesByATable) {
  EXPECT_EQ(
      Each("targets: .branchtargets A, B, C;\nrem.u32 %r1, %thread, 3;\nbrx.idx %r1, targets;\n"
           "A:\nmov.u32 %rq, 10;\nbra END;\nB:\nmov.u32 %rq, 20;\nbra END;\n"
           "C:\nmov.u32 %rq, 30;\nEND:"),
      Expected([](std::uint32_t i) { return 10 * (i % 3 + 1); }));
}

TEST(ControlTest, ThreadsMayLeaveEarly) {
  for (const char* leave : {"ret", "exit"}) {
    Registered<std::uint32_t> out(std::vector<std::uint32_t>(64, 7));
    RunText(KernelText("sequela_text",
                       std::string("setp.lt.u32 %p1, %thread, 40;\n@%p1 ") + leave +
                           ";\nmul.wide.u32 %row, %thread, 4;\nadd.s64 %row, %out, %row;\n"
                           "st.global.u32 [%row], 1;"),
            out.data(), out.data(), 64);
    EXPECT_EQ(out.values(), Expected([](std::uint32_t i) { return i < 40 ? 7U : 1U; })) << leave;
  }
}

TEST(ControlTest, TrapIsAFault) {
  EXPECT_NE(FaultOf([] { Each("setp.eq.u32 %p1, %thread, 5;\n@%p1 trap;"); }).find("trap"),
            std::string::npos);
}

TEST(ControlTest, AnUnknownInstructionIsNamed) {
  EXPECT_NE(FaultOf([] { Each("frobnicate.b32 %rq, %thread;"); }).find("frobnicate"),
            std::string::npos);
}

// Each thread writes, meets the others, and reads its neighbour's.
std::vector<std::uint32_t> NeighboursAfter(const std::string& barrier) {
  return Each(
      ".shared .align 4 .b32 line[64];\nshl.b32 %r1, %thread, 2;\nmov.u32 %r2, line;\n"
      "add.u32 %r1, %r1, %r2;\nst.shared.u32 [%r1], %thread;\n" +
      barrier +
      "\nadd.u32 %r3, %thread, 33;\nand.b32 %r3, %r3, 63;\nshl.b32 %r3, %r3, 2;\n"
      "add.u32 %r3, %r3, %r2;\nld.shared.u32 %rq, [%r3];");
}

TEST(ControlTest, Barriers) {
  const auto neighbours = Expected([](std::uint32_t i) { return (i + 33) % 64; });
  for (const char* barrier :
       {"bar.sync 0;", "bar.sync 3, 64;", "barrier.sync 0;", "barrier.sync.aligned 1;",
        "bar.cta.sync 2;", "mov.u32 %r9, 5;\nbar.sync %r9, 64;"}) {
    EXPECT_EQ(NeighboursAfter(barrier), neighbours) << barrier;
  }
}

TEST(ControlTest, BarriersThatReduce) {
  const std::string p = "setp.lt.u32 %p1, %thread, 37;\n";
  EXPECT_EQ(Each(p + "bar.red.popc.u32 %rq, 0, %p1;"), Expected([](std::uint32_t) { return 37U; }));
  EXPECT_EQ(Each(p + "bar.red.and.pred %p2, 0, %p1;\nselp.u32 %rq, 1, 0, %p2;"),
            Expected([](std::uint32_t) { return 0U; }));
  EXPECT_EQ(Each(p + "bar.red.or.pred %p2, 1, 64, !%p1;\nselp.u32 %rq, 1, 0, %p2;"),
            Expected([](std::uint32_t) { return 1U; }));
}

// Warp 0 produces and only arrives; warp 1 waits for it.
TEST(ControlTest, ArrivalWithoutWaiting) {
  const std::vector<std::uint32_t> got = Each(
      ".shared .align 4 .b32 line[32];\nmov.u32 %r2, line;\nand.b32 %r1, %thread, 31;\n"
      "shl.b32 %r1, %r1, 2;\nadd.u32 %r1, %r1, %r2;\nmov.u32 %rq, 0;\nsetp.lt.u32 %p1, %thread, "
      "32;\n"
      "@%p1 bra PRODUCER;\nbar.sync 1, 64;\nld.shared.u32 %rq, [%r1];\nbra END;\nPRODUCER:\n"
      "st.shared.u32 [%r1], %thread;\nbar.arrive 1, 64;\nEND:");
  EXPECT_EQ(got, Expected([](std::uint32_t i) { return i < 32 ? 0 : i - 32; }));
}

TEST(ControlTest, SpecialRegisters) {
  Registered<std::uint32_t> out(2 * 48 * 8);
  RunText(KernelText(
              "sequela_text",
              "mov.u32 %r1, %ctaid.x;\nmov.u32 %r2, %ntid.x;\nmad.lo.u32 %r3, %r1, %r2, %thread;\n"
              "mul.wide.u32 %row, %r3, 32;\nadd.s64 %row, %out, %row;\nmov.u32 %r4, %nctaid.x;\n"
              "mov.u32 %r5, %laneid;\nmov.u32 %r6, %lanemask_lt;\nmov.u32 %r7, %tid.y;\n"
              "mov.u32 %r8, %ntid.z;\nmov.u32 %r9, %lanemask_eq;\n"
              "st.global.v4.u32 [%row], {%r1, %r2, %thread, %r4};\n"
              "st.global.v4.u32 [%row+16], {%r5, %r6, %r7, %r8};"),
          out.data(), out.data(), 48, 2);
  for (std::uint32_t block = 0; block < 2; ++block) {
    for (std::uint32_t thread = 0; thread < 48; ++thread) {
      const std::uint32_t lane = thread % 32;
      const std::array<std::uint32_t, 8> expected = {block, 48, thread, 2, lane, (1U << lane) - 1,
                                                     0,     1};
      for (std::size_t i = 0; i < 8; ++i) {
        EXPECT_EQ(out[(block * 48 + thread) * 8 + i], expected[i]) << thread << " " << i;
      }
    }
  }
}

}  // namespace
}  // namespace sequela::ptx
