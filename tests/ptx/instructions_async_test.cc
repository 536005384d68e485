// ctest: labels=ptx
// cp.async: what is copied, what is filled with zeros, and when it is there.
#include <gtest/gtest.h>

#include <numeric>

#include "tests/ptx/instruction_testing.h"

namespace sequela::ptx {
namespace {

// 32 lanes, each with 16 bytes of %in, a place in shared memory at %r9 and 16 bytes of %out.
const std::string kPlaces =
    ".shared .align 16 .b8 tile[1024];\nmul.wide.u32 %row, %thread, 16;\nadd.s64 %in, %in, %row;\n"
    "add.s64 %out, %out, %row;\nmov.u32 %r8, tile;\nshl.b32 %r9, %thread, 4;\nadd.u32 %r9, %r9, "
    "%r8;\n"
    "mov.u32 %r1, -1;\nst.shared.v4.u32 [%r9], {%r1, %r1, %r1, %r1};\n"
    "st.shared.v4.u32 [%r9+512], {%r1, %r1, %r1, %r1};\n";
const std::string kStore =
    "\nld.shared.v4.u32 {%r10, %r11, %r12, %r13}, [%r9];\n"
    "st.global.v4.u32 [%out], {%r10, %r11, %r12, %r13};";
const std::string kWait = "\ncp.async.commit_group;\ncp.async.wait_group 0;\n";

std::vector<std::uint32_t> Input() {
  std::vector<std::uint32_t> values(32 * 4);
  std::iota(values.begin(), values.end(), 0x01020304);
  return values;
}

std::vector<std::uint32_t> Copied(const std::string& body) {
  Registered<std::uint32_t> in(Input());
  Registered<std::uint32_t> out(32 * 4);
  RunText(KernelText("sequela_text", kPlaces + body + kStore), in.data(), out.data());
  return out.values();
}

// The first `copied` bytes of 16 come from the input, those up to `written` are zero.
std::vector<std::uint32_t> Expected(std::size_t copied, std::size_t written) {
  std::vector<std::uint32_t> values = Input();
  for (std::size_t lane = 0; lane < 32; ++lane) {
    auto* bytes = reinterpret_cast<std::uint8_t*>(values.data()) + lane * 16;
    std::fill(bytes + copied, bytes + written, 0);
    std::fill(bytes + written, bytes + 16, 0xff);
  }
  return values;
}

class AsyncTest : public ::testing::TestWithParam<Async> {
 protected:
  void SetUp() override { SetOptions({.async = GetParam()}); }
  void TearDown() override { SetOptions(before_); }
  Options before_ = CurrentOptions();
};
INSTANTIATE_TEST_SUITE_P(Moments, AsyncTest,
                         ::testing::Values(Async::kEarliest, Async::kLatest, Async::kBoth));

TEST_P(AsyncTest, CopiesOfEachSize) {
  EXPECT_EQ(Copied("cp.async.cg.shared.global [%r9], [%in], 16;" + kWait), Expected(16, 16));
  EXPECT_EQ(Copied("cp.async.ca.shared.global [%r9], [%in], 16;" + kWait), Expected(16, 16));
  EXPECT_EQ(Copied("cp.async.ca.shared.global [%r9], [%in], 8;" + kWait), Expected(8, 8));
  EXPECT_EQ(Copied("cp.async.ca.shared.global [%r9], [%in], 4;" + kWait), Expected(4, 4));
  EXPECT_EQ(Copied("cp.async.cg.shared.global.L2::128B [%r9], [%in], 16;" + kWait),
            Expected(16, 16));
}

// Fewer source bytes than the copy's size: the rest is zeros, and the source is not read there.
TEST_P(AsyncTest, ZerosWhereTheSourceIsShort) {
  for (const std::size_t bytes : {0U, 1U, 2U, 7U, 12U, 16U}) {
    EXPECT_EQ(
        Copied(fmt::format("mov.u32 %r2, {};\ncp.async.cg.shared.global [%r9], [%in], 16, %r2;",
                           bytes) +
               kWait),
        Expected(bytes, 16))
        << bytes;
  }
  EXPECT_EQ(Copied("cp.async.ca.shared.global [%r9], [%in], 8, 4;" + kWait), Expected(4, 8));
  // An address of nobody's is as good as any where nothing is read.
  EXPECT_EQ(Copied("mov.u64 %d1, 0;\ncp.async.cg.shared.global [%r9], [%d1], 16, 0;" + kWait),
            Expected(0, 16));
}

TEST_P(AsyncTest, WaitsForAllButTheLatestGroups) {
  const std::string two_groups =
      "cp.async.cg.shared.global [%r9], [%in], 16;\ncp.async.commit_group;\n"
      "cp.async.cg.shared.global [%r9+512], [%in], 16;\ncp.async.commit_group;\n";
  EXPECT_EQ(Copied(two_groups + "cp.async.wait_group 1;"), Expected(16, 16));
  EXPECT_EQ(Copied("cp.async.cg.shared.global [%r9], [%in], 16;\ncp.async.wait_all;"),
            Expected(16, 16));
  // An empty group counts as one.
  EXPECT_EQ(Copied("cp.async.cg.shared.global [%r9], [%in], 16;\ncp.async.commit_group;\n"
                   "cp.async.commit_group;\ncp.async.wait_group 1;"),
            Expected(16, 16));
}

TEST_P(AsyncTest, APredicateGuardsTheCopy) {
  EXPECT_EQ(
      Copied("setp.eq.u32 %p1, %r1, 0;\n@%p1 cp.async.cg.shared.global [%r9], [%in], 16;" + kWait),
      Expected(0, 0));
}

TEST(AsyncFaultTest, AReadBeforeTheWaitIsFound) {
  EXPECT_NE(FaultOf([] {
              Copied("cp.async.cg.shared.global [%r9], [%in], 16;\ncp.async.commit_group;");
            }),
            "");
  EXPECT_NE(FaultOf([] {
              Copied(
                  "cp.async.cg.shared.global [%r9], [%in], 16;\ncp.async.commit_group;\n"
                  "cp.async.wait_group 1;");
            }),
            "");
  EXPECT_NE(FaultOf([] {  // not committed: wait_group knows nothing of it
              Copied("cp.async.cg.shared.global [%r9], [%in], 16;\ncp.async.wait_group 0;");
            }),
            "");
}

}  // namespace
}  // namespace sequela::ptx
