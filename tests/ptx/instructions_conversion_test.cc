// ctest: labels=ptx
// cvt in all its directions against the manual's definitions.
#include <gtest/gtest.h>

#include <cfenv>
#include <limits>

#include "tests/ptx/instruction_testing.h"
#include "tests/ptx/interpreter/format16.h"

namespace sequela::ptx {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
const float kNan = std::numeric_limits<float>::quiet_NaN();

const std::vector<std::uint64_t> kIntegers = {0,
                                              1,
                                              0x7f,
                                              0x80,
                                              0xff,
                                              0x7fff,
                                              0x8000,
                                              0xffff,
                                              0x1000001,
                                              0x1000003,
                                              0x7fffffff,
                                              0x80000000,
                                              0xffffffff,
                                              0x100000000,
                                              0x20000000000001,
                                              0x7fffffffffffffff,
                                              0x8000000000000000,
                                              0xffffffffffffffff,
                                              0x7fffffbfffffffff};

Rows IntegerRows() {
  Rows rows;
  for (const std::uint64_t value : kIntegers) rows.push_back({value});
  return rows;
}

// The low bits as From, then To: C++ extends, cuts and wraps as PTX does.
template <typename From, typename To>
std::uint64_t Resized(const Operands& o) {
  return Result(static_cast<To>(As<From>(o[0])));
}
template <typename From, typename To>
std::uint64_t Clamped(const Operands& o) {
  const auto value = static_cast<std::int64_t>(As<From>(o[0]));
  const auto low = static_cast<std::int64_t>(std::numeric_limits<To>::min());
  const auto high = static_cast<std::int64_t>(std::numeric_limits<To>::max());
  return Result(static_cast<To>(std::clamp(value, low, high)));
}

TEST(ConversionTest, BetweenIntegers) {
  const Rows rows = IntegerRows();
  ExpectAll("cvt.s64.s32 %dq, %r0;", rows, Resized<std::int32_t, std::int64_t>);
  ExpectAll("cvt.u64.u32 %dq, %r0;", rows, Resized<std::uint32_t, std::uint64_t>);
  ExpectAll("cvt.u32.u64 %rq, %d0;", rows, Resized<std::uint64_t, std::uint32_t>);
  ExpectAll("cvt.s32.s16 %rq, %h0;", rows, Resized<std::int16_t, std::int32_t>);
  ExpectAll("cvt.u32.u16 %rq, %h0;", rows, Resized<std::uint16_t, std::uint32_t>);
  ExpectAll("cvt.s64.s16 %dq, %h0;", rows, Resized<std::int16_t, std::int64_t>);
  ExpectAll("cvt.u16.u32 %hq, %r0;", rows, Resized<std::uint32_t, std::uint16_t>);
  ExpectAll("cvt.u16.u64 %hq, %d0;", rows, Resized<std::uint64_t, std::uint16_t>);
  // A source of 8 bits is read from the low bits of a wider register, a result is extended.
  ExpectAll("cvt.s32.s8 %rq, %r0;", rows, Resized<std::int8_t, std::int32_t>);
  ExpectAll("cvt.u32.u8 %rq, %r0;", rows, Resized<std::uint8_t, std::uint32_t>);
  ExpectAll("cvt.s16.s8 %hq, %h0;", rows, Resized<std::int8_t, std::int16_t>);
  ExpectAll("cvt.u8.u32 %rq, %r0;", rows, Resized<std::uint32_t, std::uint8_t>);
}

TEST(ConversionTest, BetweenIntegersWithSaturation) {
  const Rows rows = IntegerRows();
  ExpectAll("cvt.sat.s16.s32 %hq, %r0;", rows, Clamped<std::int32_t, std::int16_t>);
  ExpectAll("cvt.sat.u16.s32 %hq, %r0;", rows, Clamped<std::int32_t, std::uint16_t>);
  ExpectAll("cvt.sat.s32.s64 %rq, %d0;", rows, Clamped<std::int64_t, std::int32_t>);
  ExpectAll("cvt.sat.u32.s64 %rq, %d0;", rows, Clamped<std::int64_t, std::uint32_t>);
}

template <typename From, typename To>
std::uint64_t Rounded(From value, int mode) {
  volatile From from = value;
  std::fesetround(mode);
  volatile To to = static_cast<To>(from);
  std::fesetround(FE_TONEAREST);
  return Bits(static_cast<To>(to));
}

struct Rounding {
  const char* name;
  int mode;
};
const std::vector<Rounding> kRoundings = {
    {"rn", FE_TONEAREST}, {"rz", FE_TOWARDZERO}, {"rm", FE_DOWNWARD}, {"rp", FE_UPWARD}};

TEST(ConversionTest, FromIntegersToFloats) {
  const Rows rows = IntegerRows();
  for (const Rounding& r : kRoundings) {
    const std::string cvt = std::string("cvt.") + r.name;
    ExpectAll(cvt + ".f32.s32 %rq, %r0;", rows, [&](const Operands& o) {
      return Rounded<std::int32_t, float>(As<std::int32_t>(o[0]), r.mode);
    });
    ExpectAll(cvt + ".f32.u32 %rq, %r0;", rows, [&](const Operands& o) {
      return Rounded<std::int64_t, float>(As<std::uint32_t>(o[0]), r.mode);
    });
    ExpectAll(cvt + ".f32.s64 %rq, %d0;", rows, [&](const Operands& o) {
      return Rounded<std::int64_t, float>(As<std::int64_t>(o[0]), r.mode);
    });
    ExpectAll(cvt + ".f64.s64 %dq, %d0;", rows, [&](const Operands& o) {
      return Rounded<std::int64_t, double>(As<std::int64_t>(o[0]), r.mode);
    });
    ExpectAll(cvt + ".f64.s32 %dq, %r0;", rows, [&](const Operands& o) {
      return Rounded<std::int32_t, double>(As<std::int32_t>(o[0]), r.mode);
    });
  }
  // A cast of the host's rounds a large unsigned number to nearest.
  ExpectAll("cvt.rn.f32.u64 %rq, %d0;", rows,
            [](const Operands& o) { return Bits(static_cast<float>(o[0])); });
  ExpectAll("cvt.rn.f64.u64 %dq, %d0;", rows,
            [](const Operands& o) { return Bits(static_cast<double>(o[0])); });
  ExpectAll("cvt.rn.f32.u16 %rq, %h0;", rows,
            [](const Operands& o) { return Bits(static_cast<float>(As<std::uint16_t>(o[0]))); });
}

const std::vector<float> kFloats = {0.0F,
                                    -0.0F,
                                    0.5F,
                                    1.5F,
                                    2.5F,
                                    -0.5F,
                                    -1.5F,
                                    -2.5F,
                                    0.49999997F,
                                    1e-40F,
                                    8388607.5F,
                                    2147483520.0F,
                                    2147483648.0F,
                                    -2147483648.0F,
                                    -2147483904.0F,
                                    4294967040.0F,
                                    4294967296.0F,
                                    9.2233715e18F,
                                    9.2233720e18F,
                                    1.8446744e19F,
                                    -9.3e18F,
                                    std::numeric_limits<float>::max(),
                                    kInf,
                                    -kInf,
                                    kNan};

template <typename T>
Rows FloatRows() {
  Rows rows;
  for (const float value : kFloats) rows.push_back({Bits(T{value})});
  return rows;
}

double ToInteger(double value, int mode) {
  std::fesetround(mode);
  volatile double from = value;
  const double rounded = std::nearbyint(from);
  std::fesetround(FE_TONEAREST);
  return rounded;
}

// Clamped to the range. NaN is 0 where neither side has 64 bits, else the lone highest bit.
template <typename T, bool kWideSource>
std::uint64_t Integer(double value, int mode) {
  if (std::isnan(value)) {
    return sizeof(T) == 8 || kWideSource ? std::uint64_t{1} << (sizeof(T) * 8 - 1) : 0;
  }
  const double rounded = ToInteger(value, mode);
  const int bits = sizeof(T) * 8 - (std::is_signed_v<T> ? 1 : 0);
  if (rounded >= std::ldexp(1.0, bits)) return Result(std::numeric_limits<T>::max());
  if (rounded < static_cast<double>(std::numeric_limits<T>::min())) {
    return Result(std::numeric_limits<T>::min());
  }
  return Result(static_cast<T>(rounded));
}

TEST(ConversionTest, FromFloatsToIntegers) {
  for (const Rounding& r : kRoundings) {
    const std::string cvt = std::string("cvt.") + r.name + "i";
    const auto expect = [&](auto example, const std::string& type, const std::string& to) {
      using T = decltype(example);
      ExpectAll(cvt + "." + type + ".f32 " + to + ", %r0;", FloatRows<float>(),
                [&](const Operands& o) { return Integer<T, false>(F32(o[0]), r.mode); });
      ExpectAll(cvt + "." + type + ".f64 " + to + ", %d0;", FloatRows<double>(),
                [&](const Operands& o) { return Integer<T, true>(F64(o[0]), r.mode); });
    };
    expect(std::int32_t{}, "s32", "%rq");
    expect(std::uint32_t{}, "u32", "%rq");
    expect(std::int64_t{}, "s64", "%dq");
    expect(std::uint64_t{}, "u64", "%dq");
  }
  ExpectAll("cvt.rni.ftz.s32.f32 %rq, %r0;", FloatRows<float>(), [](const Operands& o) {
    return Integer<std::int32_t, false>(F32(o[0]), FE_TONEAREST);
  });
}

TEST(ConversionTest, FloatsToIntegralFloats) {
  for (const Rounding& r : kRoundings) {
    ExpectAll(
        fmt::format("cvt.{}i.f32.f32 %rq, %r0;", r.name), FloatRows<float>(),
        [&](const Operands& o) { return Bits(static_cast<float>(ToInteger(F32(o[0]), r.mode))); },
        SameF32);
    ExpectAll(
        fmt::format("cvt.{}i.f64.f64 %dq, %d0;", r.name), FloatRows<double>(),
        [&](const Operands& o) { return Bits(ToInteger(F64(o[0]), r.mode)); }, SameF64);
  }
}

TEST(ConversionTest, BetweenFloatsOf32And64Bits) {
  ExpectAll(
      "cvt.f64.f32 %dq, %r0;", FloatRows<float>(),
      [](const Operands& o) { return Bits(double{F32(o[0])}); }, SameF64);
  Rows rows = FloatRows<double>();
  for (const double value : {1 + 0x1p-24, 1 + 0x1.8p-23, 1 + 0x1p-23 + 0x1p-24, 1e39, -1e300, 1e-40,
                             0x1p-150, 0x1.8p-149, -1e-300}) {
    rows.push_back({Bits(value)});
  }
  for (const Rounding& r : kRoundings) {
    ExpectAll(
        fmt::format("cvt.{}.f32.f64 %rq, %d0;", r.name), rows,
        [&](const Operands& o) { return Rounded<double, float>(F64(o[0]), r.mode); }, SameF32);
  }
  ExpectAll("cvt.ftz.f64.f32 %dq, %r0;", {{Bits(-1e-40F)}},
            [](const Operands&) { return Bits(-0.0); });
  ExpectAll("cvt.sat.f32.f32 %rq, %r0;", FloatRows<float>(), [](const Operands& o) {
    const float value = F32(o[0]);
    return Bits(value > 0.0F ? std::min(value, 1.0F) : 0.0F);
  });
}

Rows RoundedTo16Bits() {
  Rows rows;
  for (const float value : kFloats) rows.push_back({Bits(value), Bits(-value)});
  for (const std::uint32_t high : {0x3f80U, 0x3f81U, 0xbf7fU, 0x7f7fU, 0x0001U, 0x007fU, 0x477fU}) {
    for (const std::uint32_t low : {0x0000U, 0x0001U, 0x7fffU, 0x8000U, 0x8001U, 0xffffU, 0x1000U,
                                    0x3000U, 0xefffU, 0xf000U}) {
      rows.push_back({high << 16 | low, Bits(1.0F + 0x1p-8F)});
    }
  }
  for (const float value : {65504.0F, 65519.9F, 65520.0F, 0x1p-24F, 0x1p-25F, 0x1.8p-24F, 6e-5F}) {
    rows.push_back({Bits(value), Bits(-value)});
  }
  return rows;
}

TEST(ConversionTest, ToBf16) {
  const Format16& bf16 = Bf16();
  const Rows rows = RoundedTo16Bits();
  ExpectAll("cvt.rn.bf16.f32 %hq, %r0;", rows,
            [&](const Operands& o) { return bf16.Nearest(F32(o[0])); });
  ExpectAll("cvt.rz.bf16.f32 %hq, %r0;", rows,
            [&](const Operands& o) { return bf16.TowardsZero(F32(o[0])); });
  // The first operand becomes the upper half.
  ExpectAll("cvt.rn.bf16x2.f32 %rq, %r0, %r1;", rows, [&](const Operands& o) {
    return std::uint64_t{bf16.Nearest(F32(o[0]))} << 16 | bf16.Nearest(F32(o[1]));
  });
  ExpectAll("cvt.rn.relu.bf16x2.f32 %rq, %r0, %r1;", rows, [&](const Operands& o) {
    const auto relu = [&](std::uint64_t bits) -> std::uint64_t {
      return F32(bits) < 0.0F || bits == 0x80000000 ? 0 : bf16.Nearest(F32(bits));
    };
    return relu(o[0]) << 16 | relu(o[1]);
  });
}

TEST(ConversionTest, FromBf16) {
  Rows rows;
  for (std::uint64_t bits = 0; bits < 0x10000; bits += 0x97) rows.push_back({bits});
  ExpectAll(
      "cvt.f32.bf16 %rq, %h0;", rows,
      [&](const Operands& o) { return As<std::uint32_t>(o[0] << 16); }, SameF32);
}

TEST(ConversionTest, ToAndFromF16) {
  const Format16& f16 = F16();
  const Rows rows = RoundedTo16Bits();
  ExpectAll("cvt.rn.f16.f32 %hq, %r0;", rows,
            [&](const Operands& o) { return f16.Nearest(F32(o[0])); });
  ExpectAll("cvt.rn.f16x2.f32 %rq, %r0, %r1;", rows, [&](const Operands& o) {
    return std::uint64_t{f16.Nearest(F32(o[0]))} << 16 | f16.Nearest(F32(o[1]));
  });
  Rows halves;
  for (std::uint64_t bits = 0; bits < 0x7c00; bits += 0x3f) {
    halves.push_back({bits});
    halves.push_back({bits | 0x8000});
  }
  ExpectAll("cvt.f32.f16 %rq, %h0;", halves, [&](const Operands& o) {
    return Bits(static_cast<float>(f16.Number(As<std::uint32_t>(o[0]))));
  });
}

}  // namespace
}  // namespace sequela::ptx
