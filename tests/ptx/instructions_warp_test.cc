// ctest: labels=ptx
// Instructions that a warp executes together: shuffles, votes, reductions, matches.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/ptx/instruction_testing.h"

namespace sequela::ptx {
namespace {

std::uint32_t ValueOf(std::uint32_t lane) { return lane * lane * 2654435761U + 12345; }

// %rq and %pq of every lane after `body`, which finds a value of its own in %r0.
struct Lane {
  std::uint32_t value;
  std::uint32_t predicate;
};
std::vector<Lane> Each(const std::string& body) {
  std::vector<std::uint32_t> values;
  for (std::uint32_t lane = 0; lane < 32; ++lane) values.push_back(ValueOf(lane));
  Registered<std::uint32_t> in(values);
  Registered<Lane> out(32);
  RunText(KernelText("sequela_text",
                     "mul.wide.u32 %row, %thread, 4;\nadd.s64 %in, %in, %row;\n"
                     "ld.global.u32 %r0, [%in];\nsetp.ne.u32 %pq, %r0, %r0;\n" +
                         body +
                         "\nselp.u32 %r9, 1, 0, %pq;\nmul.wide.u32 %row, %thread, 8;\n"
                         "add.s64 %out, %out, %row;\nst.global.v2.u32 [%out], {%rq, %r9};"),
          in.data(), out.data());
  return out.values();
}

struct Source {
  std::uint32_t lane;
  bool in_range;
};
// The manual's pseudocode of shfl.
Source SourceOf(const std::string& mode, std::uint32_t lane, std::uint32_t b, std::uint32_t c) {
  const std::uint32_t segment = c >> 8 & 31;
  const std::uint32_t most = (lane & segment) | (c & 31 & ~segment);
  const std::uint32_t least = lane & segment;
  b &= 31;
  std::int32_t j = 0;
  bool in_range = false;
  if (mode == "up") {
    j = static_cast<std::int32_t>(lane - b);
    in_range = j >= static_cast<std::int32_t>(most);
  } else {
    if (mode == "down") j = static_cast<std::int32_t>(lane + b);
    if (mode == "bfly") j = static_cast<std::int32_t>(lane ^ b);
    if (mode == "idx") j = static_cast<std::int32_t>(least | (b & ~segment));
    in_range = j <= static_cast<std::int32_t>(most);
  }
  return {in_range ? static_cast<std::uint32_t>(j) : lane, in_range};
}

TEST(WarpTest, Shuffles) {
  for (const std::string mode : {"up", "down", "bfly", "idx"}) {
    for (const std::uint32_t b : {0U, 1U, 3U, 8U, 16U, 31U, 33U}) {
      // The whole warp, as __shfl_*_sync asks for it, and segments of 16 and of 8.
      for (const std::uint32_t segment : {0x0000U, 0x1000U, 0x1800U}) {
        const std::uint32_t c = segment | (mode == "up" ? 0 : 31);
        const auto lanes =
            Each(fmt::format("shfl.sync.{}.b32 %rq|%pq, %r0, {}, {}, 0xffffffff;", mode, b, c));
        for (std::uint32_t lane = 0; lane < 32; ++lane) {
          const Source source = SourceOf(mode, lane, b, c);
          EXPECT_EQ(lanes[lane].value, ValueOf(source.lane)) << mode << " " << b << " " << lane;
          EXPECT_EQ(lanes[lane].predicate, source.in_range ? 1 : 0) << mode << " " << b;
        }
      }
    }
  }
}

TEST(WarpTest, ShufflesByARegister) {
  const auto lanes = Each(
      "xor.b32 %r1, %thread, 21;\nmov.u32 %r2, 31;\nmov.u32 %r3, -1;\n"
      "shfl.sync.idx.b32 %rq, %r0, %r1, %r2, %r3;");
  for (std::uint32_t lane = 0; lane < 32; ++lane) EXPECT_EQ(lanes[lane].value, ValueOf(lane ^ 21));
}

TEST(WarpTest, ShufflesOfSomeLanes) {
  const auto lanes = Each(
      "mov.u32 %rq, 0;\nsetp.ge.u32 %p1, %thread, 16;\n@%p1 bra END;\n"
      "shfl.sync.bfly.b32 %rq, %r0, 1, 31, 0xffff;\nEND:");
  for (std::uint32_t lane = 0; lane < 32; ++lane) {
    EXPECT_EQ(lanes[lane].value, lane < 16 ? ValueOf(lane ^ 1) : 0);
  }
}

TEST(WarpTest, AShuffleThatLacksANamedLaneIsAFault) {
  EXPECT_NE(FaultOf([] {
              Each(
                  "mov.u32 %rq, 0;\nsetp.ge.u32 %p1, %thread, 16;\n@%p1 bra END;\n"
                  "shfl.sync.bfly.b32 %rq, %r0, 1, 31, 0xffffffff;\nEND:");
            }),
            "");
}

TEST(WarpTest, Votes) {
  const auto vote = [](const std::string& bound, const std::string& mode) {
    return Each("setp.lt.u32 %p1, %thread, " + bound + ";\nmov.u32 %rq, 0;\nvote.sync." + mode +
                ".pred %pq, %p1, 0xffffffff;")[7]
        .predicate;
  };
  for (const auto& [bound, any, all] :
       {std::tuple{"0", 0U, 0U}, std::tuple{"5", 1U, 0U}, std::tuple{"32", 1U, 1U}}) {
    EXPECT_EQ(vote(bound, "any"), any);
    EXPECT_EQ(vote(bound, "all"), all);
    EXPECT_EQ(vote(bound, "uni"), any == all ? 1 : 0);
  }
  const auto lanes =
      Each("setp.lt.u32 %p1, %thread, 5;\nvote.sync.ballot.b32 %rq, %p1, 0xffffffff;");
  for (const Lane& lane : lanes) EXPECT_EQ(lane.value, 0x1f);
  EXPECT_EQ(Each("setp.lt.u32 %p1, %thread, 5;\n"
                 "vote.sync.ballot.b32 %rq, !%p1, 0xffffffff;")[3]
                .value,
            0xffffffe0);
}

TEST(WarpTest, Reductions) {
  std::uint32_t sum = 0;
  std::uint32_t least = 0xffffffff;
  std::int32_t most = std::numeric_limits<std::int32_t>::min();
  std::uint32_t all = 0xffffffff;
  std::uint32_t any = 0;
  std::uint32_t odd = 0;
  for (std::uint32_t lane = 0; lane < 32; ++lane) {
    const std::uint32_t value = ValueOf(lane);
    sum += value;
    least = std::min(least, value);
    most = std::max(most, static_cast<std::int32_t>(value));
    all &= value;
    any |= value;
    odd ^= value;
  }
  const auto reduced = [](const std::string& op) {
    return Each("redux.sync." + op + " %rq, %r0, 0xffffffff;")[11].value;
  };
  EXPECT_EQ(reduced("add.s32"), sum);
  EXPECT_EQ(reduced("min.u32"), least);
  EXPECT_EQ(static_cast<std::int32_t>(reduced("max.s32")), most);
  EXPECT_EQ(reduced("and.b32"), all);
  EXPECT_EQ(reduced("or.b32"), any);
  EXPECT_EQ(reduced("xor.b32"), odd);
}

TEST(WarpTest, ActiveLanes) {
  const auto lanes = Each(
      "mov.u32 %rq, 0;\nsetp.ge.u32 %p1, %thread, 12;\n@%p1 bra END;\nactivemask.b32 %rq;\nEND:");
  EXPECT_EQ(lanes[3].value & ~0xfffU, 0);
  EXPECT_EQ(lanes[3].value >> 3 & 1, 1);
}

TEST(WarpTest, OneLaneIsElected) {
  const auto lanes = Each("elect.sync %rq|%pq, 0xffffffff;");
  std::uint32_t elected = 0;
  for (const Lane& lane : lanes) {
    elected += lane.predicate;
    EXPECT_EQ(lanes[lane.value].predicate, 1);
  }
  EXPECT_EQ(elected, 1);
}

TEST(WarpTest, Matches) {
  const auto lanes = Each("rem.u32 %r1, %thread, 5;\nmatch.any.sync.b32 %rq, %r1, 0xffffffff;");
  for (std::uint32_t lane = 0; lane < 32; ++lane) {
    std::uint32_t same = 0;
    for (std::uint32_t i = 0; i < 32; ++i) same |= (i % 5 == lane % 5 ? 1U : 0U) << i;
    EXPECT_EQ(lanes[lane].value, same);
  }
}

TEST(WarpTest, LanesExchangeThroughSharedMemory) {
  const auto lanes = Each(
      ".shared .align 4 .b32 line[32];\nshl.b32 %r1, %thread, 2;\nmov.u32 %r2, line;\n"
      "add.u32 %r3, %r1, %r2;\nst.shared.u32 [%r3], %r0;\nbar.warp.sync 0xffffffff;\n"
      "xor.b32 %r1, %r1, 64;\nadd.u32 %r3, %r1, %r2;\nld.shared.u32 %rq, [%r3];");
  for (std::uint32_t lane = 0; lane < 32; ++lane) EXPECT_EQ(lanes[lane].value, ValueOf(lane ^ 16));
}

}  // namespace
}  // namespace sequela::ptx
