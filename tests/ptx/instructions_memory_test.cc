// ctest: labels=ptx
// Loads, stores, state spaces, generic addresses and atomics.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "tests/ptx/instruction_testing.h"

namespace sequela::ptx {
namespace {

std::vector<std::uint8_t> Bytes(std::size_t count) {
  std::vector<std::uint8_t> bytes(count);
  for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::uint8_t>(37 * i + 200);
  return bytes;
}
template <typename T>
T At(const std::vector<std::uint8_t>& bytes, std::size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

// What one thread stores at %out after `body`, the input being Bytes(64).
std::vector<std::uint64_t> Stored(const std::string& body, std::size_t count,
                                  const std::string& before = "") {
  Registered<std::uint8_t> in(Bytes(64));
  Registered<std::uint64_t> out(std::vector<std::uint64_t>(count, 0));
  RunText(KernelText("sequela_text", body, before), in.data(), out.data(), 1);
  return out.values();
}

TEST(MemoryTest, LoadsExtendToTheRegister) {
  const std::vector<std::uint8_t> in = Bytes(64);
  const auto loaded = [](const std::string& type, const std::string& reg) {
    return Stored("ld.global." + type + " " + reg + ", [%in+8];\n" +
                      (reg == "%dq" ? "" : "cvt.u64.u32 %dq, " + reg + ";\n") +
                      "st.global.u64 [%out], %dq;",
                  1)[0];
  };
  EXPECT_EQ(loaded("u8", "%rq"), Result(At<std::uint8_t>(in, 8)));
  EXPECT_EQ(loaded("s8", "%rq"), Result(std::int32_t{At<std::int8_t>(in, 8)}));
  EXPECT_EQ(loaded("b8", "%rq"), Result(At<std::uint8_t>(in, 8)));
  EXPECT_EQ(loaded("u16", "%rq"), Result(At<std::uint16_t>(in, 8)));
  EXPECT_EQ(loaded("s16", "%rq"), Result(std::int32_t{At<std::int16_t>(in, 8)}));
  EXPECT_EQ(loaded("u32", "%rq"), Result(At<std::uint32_t>(in, 8)));
  EXPECT_EQ(loaded("f32", "%rq"), Result(At<std::uint32_t>(in, 8)));
  EXPECT_EQ(loaded("s32", "%dq"), Result(std::int64_t{At<std::int32_t>(in, 8)}));
  EXPECT_EQ(loaded("u32", "%dq"), Result(At<std::uint32_t>(in, 8)));
  EXPECT_EQ(loaded("b64", "%dq"), At<std::uint64_t>(in, 8));
}

TEST(MemoryTest, KindsOfLoads) {
  const std::vector<std::uint8_t> in = Bytes(64);
  for (const char* kind : {"ld.global.nc.u64", "ld.volatile.global.u64", "ld.global.cg.u64",
                           "ld.global.ca.u64", "ld.global.L1::no_allocate.u64"}) {
    EXPECT_EQ(Stored(std::string(kind) + " %dq, [%in+16];\nst.global.u64 [%out], %dq;", 1)[0],
              At<std::uint64_t>(in, 16))
        << kind;
  }
}

TEST(MemoryTest, StoresKeepTheLowBits) {
  EXPECT_EQ(Stored("mov.u32 %r1, 0x12345678;\nst.global.u8 [%out+1], %r1;\n"
                   "st.global.b16 [%out+4], 0x1abc;\ncvt.u16.u32 %h1, %r1;\n"
                   "st.global.u16 [%out+8], %h1;",
                   2),
            (std::vector<std::uint64_t>{0x00001abc00007800, 0x5678}));
}

TEST(MemoryTest, Vectors) {
  const std::vector<std::uint8_t> in = Bytes(64);
  const auto u64 = [&](std::size_t offset) { return At<std::uint64_t>(in, offset); };
  EXPECT_EQ(Stored("ld.global.v4.b32 {%r0, %r1, %r2, %r3}, [%in+16];\n"
                   "st.global.v4.b32 [%out], {%r0, %r1, %r2, %r3};",
                   2),
            (std::vector<std::uint64_t>{u64(16), u64(24)}));
  EXPECT_EQ(
      Stored("ld.global.v2.f32 {%f0, %f1}, [%in+8];\nst.global.v2.f32 [%out], {%f1, %f0};", 1)[0],
      u64(8) << 32 | u64(8) >> 32);
  EXPECT_EQ(
      Stored("ld.global.v2.u64 {%d0, %d1}, [%in+32];\nst.global.v2.u64 [%out], {%d1, %d0};", 2),
      (std::vector<std::uint64_t>{u64(40), u64(32)}));
  EXPECT_EQ(Stored("ld.global.v4.u16 {%h0, %h1, %h2, %h3}, [%in+8];\n"
                   "st.global.v2.u16 [%out], {%h3, %h0};",
                   1)[0],
            u64(8) >> 48 | (u64(8) & 0xffff) << 16);
  EXPECT_EQ(
      Stored("ld.global.v4.u8 {%h0, %h1, %h2, %h3}, [%in+4];\nst.global.u8 [%out], %h2;", 1)[0],
      in[6]);
}

TEST(MemoryTest, SharedMemoryByNameAndByGenericAddress) {
  const std::string shared = ".shared .align 16 .b8 tile[64];\n";
  EXPECT_EQ(
      Stored(shared +
                 "mov.u32 %r1, tile;\nst.shared.u32 [%r1+8], 77;\nst.shared.u32 [tile+12], 5;\n"
                 "cvt.u64.u32 %d1, %r1;\ncvta.shared.u64 %d2, %d1;\nld.u32 %r2, [%d2+8];\n"
                 "ld.shared.u32 %r3, [tile+12];\nadd.s32 %r4, %r2, %r3;\n"
                 "cvta.to.shared.u64 %d3, %d2;\nld.shared.u32 %r5, [%d3+12];\n"
                 "st.global.v2.u32 [%out], {%r4, %r5};",
             1)[0],
      82 | 5ULL << 32);
}

TEST(MemoryTest, DynamicSharedMemoryFollowsTheStatic) {
  Registered<std::uint64_t> out(std::vector<std::uint64_t>(1, 0));
  RunText(
      KernelText("sequela_text",
                 ".shared .align 4 .b8 fixed[4];\nst.shared.u32 [fixed], 1;\n"
                 "st.shared.u32 [more+252], 41;\nld.shared.u32 %r1, [more+252];\n"
                 "ld.shared.u32 %r2, [fixed];\nadd.s32 %r1, %r1, %r2;\nst.global.u32 [%out], %r1;",
                 ".extern .shared .align 16 .b8 more[];"),
      out.data(), out.data(), 1, 1, 256);
  EXPECT_EQ(out[0], 42);
}

TEST(MemoryTest, LocalMemoryIsAThreadsOwn) {
  Registered<std::uint32_t> out(64);
  RunText(
      KernelText("sequela_text",
                 ".local .align 8 .b8 depot[16];\nmov.u64 %d1, depot;\n"
                 "cvta.local.u64 %d2, %d1;\nst.local.u32 [%d1+4], %thread;\nbar.sync 0;\n"
                 "ld.u32 %r1, [%d2+4];\nmul.wide.u32 %row, %thread, 4;\nadd.s64 %out, %out, %row;\n"
                 "st.global.u32 [%out], %r1;"),
      out.data(), out.data(), 64);
  std::vector<std::uint32_t> expected(64);
  std::iota(expected.begin(), expected.end(), 0);
  EXPECT_EQ(out.values(), expected);
}

TEST(MemoryTest, InitialisedDataOfTheModule) {
  const std::string data =
      ".const .align 4 .b8 table[8] = {1, 2, 3, 4, 5, 6};\n"
      ".global .align 4 .u32 numbers[3] = {7, 0xffffffff, 9};\n"
      ".global .align 4 .f32 one = 0f3F800000;\n";
  EXPECT_EQ(
      Stored("ld.const.u32 %r1, [table+4];\nmov.u64 %d1, numbers;\n"
             "ld.global.u32 %r2, [%d1+8];\nld.global.u32 %r3, [one];\n"
             "ld.global.u32 %r4, [numbers+4];\nst.global.v4.u32 [%out], {%r1, %r2, %r3, %r4};",
             2, data),
      (std::vector<std::uint64_t>{0x605 | 9ULL << 32, 0xffffffff3f800000}));
}

TEST(MemoryTest, ParametersAtOffsetsOfTheStruct) {
  Registered<std::uint64_t> out(std::vector<std::uint64_t>(2, 0));
  RunText(KernelText("sequela_text",
                     "ld.param.v2.u32 {%r1, %r2}, [sequela_text_param_0+8];\n"
                     "ld.param.u8 %r3, [sequela_text_param_0+9];\n"
                     "mov.b64 %d1, sequela_text_param_0;\nld.param.u32 %r4, [%d1+12];\n"
                     "st.global.v4.u32 [%out], {%r1, %r2, %r3, %r4};"),
          out.data(), out.data(), 1);
  const auto address = reinterpret_cast<std::uint64_t>(out.data());
  EXPECT_EQ(out[0], address);
  EXPECT_EQ(out[1], (address >> 8 & 0xff) | (address >> 32 << 32));
}

// Every lane in turn, in an order that the manual leaves open: what must hold in any.
std::vector<std::uint32_t> AfterAtomics(const std::string& body, std::uint32_t initial) {
  std::vector<std::uint32_t> values(65, 0);
  values[0] = initial;
  Registered<std::uint32_t> out(values);
  RunText(KernelText("sequela_text", "mul.wide.u32 %row, %thread, 4;\nadd.s64 %row, %out, %row;\n" +
                                         body + "\nst.global.u32 [%row+4], %rq;"),
          out.data(), out.data(), 64);
  return out.values();
}

TEST(MemoryTest, AtomicsOfAllLanesAddUp) {
  std::vector<std::uint32_t> out = AfterAtomics("atom.global.add.u32 %rq, [%out], 3;", 10);
  EXPECT_EQ(out[0], 10 + 64 * 3);
  std::sort(out.begin() + 1, out.end());
  for (std::uint32_t i = 0; i < 64; ++i) EXPECT_EQ(out[i + 1], 10 + 3 * i);  // every value before
  EXPECT_EQ(AfterAtomics("atom.global.max.u32 %rq, [%out], %thread;", 5)[0], 63);
  EXPECT_EQ(AfterAtomics("atom.global.min.s32 %rq, [%out], %thread;", 5)[0], 0);
  EXPECT_EQ(AfterAtomics("atom.global.and.b32 %rq, [%out], 0xf0f0;", 0xffff)[0], 0xf0f0);
  EXPECT_EQ(AfterAtomics("atom.global.or.b32 %rq, [%out], %thread;", 0x100)[0], 0x13f);
  EXPECT_EQ(AfterAtomics("atom.global.xor.b32 %rq, [%out], 1;", 0)[0], 0);
  EXPECT_EQ(AfterAtomics("mov.u32 %rq, 0;\nred.global.add.u32 [%out], 2;", 1)[0], 129);
}

TEST(MemoryTest, AtomicsThatExchange) {
  // inc: 0 once the bound is reached; dec: the bound from 0 and from above it.
  EXPECT_EQ(AfterAtomics("atom.global.inc.u32 %rq, [%out], 9;", 0)[0], 64 % 10);
  EXPECT_EQ(AfterAtomics("atom.global.dec.u32 %rq, [%out], 9;", 0)[0], (10 - 64 % 10) % 10);
  // Only the first finds 7.
  const std::vector<std::uint32_t> swapped =
      AfterAtomics("atom.global.cas.b32 %rq, [%out], 7, 8;", 7);
  EXPECT_EQ(swapped[0], 8);
  EXPECT_EQ(std::count(swapped.begin() + 1, swapped.end(), 7), 1);
  EXPECT_EQ(std::count(swapped.begin() + 1, swapped.end(), 8), 63);
  std::vector<std::uint32_t> exchanged =
      AfterAtomics("atom.global.exch.b32 %rq, [%out], %thread;", 64);
  std::sort(exchanged.begin(), exchanged.end());
  for (std::uint32_t i = 0; i < 65; ++i) EXPECT_EQ(exchanged[i], i);  // none is lost
}

TEST(MemoryTest, AtomicsOf64BitsAndInSharedMemory) {
  EXPECT_EQ(Stored("mov.u64 %d1, 0x100000000;\natom.global.add.u64 %d2, [%out], %d1;\n"
                   "atom.global.add.u64 %d2, [%out], %d1;\nst.global.u64 [%out+8], %d2;",
                   2),
            (std::vector<std::uint64_t>{0x200000000, 0x100000000}));
  EXPECT_EQ(Stored(".shared .align 4 .u32 counter;\nst.shared.u32 [counter], 4;\n"
                   "atom.shared.add.u32 %r1, [counter], 5;\nld.shared.u32 %r2, [counter];\n"
                   "st.global.v2.u32 [%out], {%r1, %r2};",
                   1)[0],
            4 | 9ULL << 32);
}

}  // namespace
}  // namespace sequela::ptx
