// ctest: labels=ptx
// Arithmetic in floating point against the manual's definitions and IEEE 754.
#include <gtest/gtest.h>

#include <algorithm>
#include <cfenv>
#include <limits>

#include "tests/ptx/instruction_testing.h"

namespace sequela::ptx {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kDenormal = 1e-40F;
const std::vector<float> kFloats = {0.0F,
                                    -0.0F,
                                    1.0F,
                                    -1.0F,
                                    1.5F,
                                    -2.75F,
                                    1.0F + 0x1p-23F,
                                    1.0F / 3,
                                    0x1p-24F,
                                    -0x1.000002p-1F,
                                    16777216.0F,
                                    16777217.5F,
                                    kDenormal,
                                    -kDenormal,
                                    std::numeric_limits<float>::min(),
                                    std::numeric_limits<float>::max(),
                                    -std::numeric_limits<float>::max(),
                                    kInf,
                                    -kInf,
                                    std::numeric_limits<float>::quiet_NaN()};

template <typename T>
Rows FloatRows() {
  std::vector<std::uint64_t> bits;
  for (const float value : kFloats) bits.push_back(Bits(T{value}));
  return Pairs(bits);
}

float Flushed(float value) {
  return std::fpclassify(value) == FP_SUBNORMAL ? std::copysign(0.0F, value) : value;
}
float Saturated(float value) {  // NaN becomes +0
  return value > 0.0F ? std::min(value, 1.0F) : 0.0F;
}

struct Rounding {
  const char* name;
  int mode;
};
const std::vector<Rounding> kRoundings = {
    {"rn", FE_TONEAREST}, {"rz", FE_TOWARDZERO}, {"rm", FE_DOWNWARD}, {"rp", FE_UPWARD}};

// The host's operation under a rounding mode; volatile keeps the compiler from doing it elsewhere.
template <typename T, typename Op>
T Under(int mode, const Op& op, T a, T b, T c) {
  volatile T va = a;
  volatile T vb = b;
  volatile T vc = c;
  std::fesetround(mode);
  volatile T result = op(va, vb, vc);
  std::fesetround(FE_TONEAREST);
  return result;
}

// `op` under every rounding; for f32 with .ftz and .sat as well.
template <typename Op>
void ExpectRounded(const std::string& name, const std::string& operands32,
                   const std::string& operands64, const Op& op) {
  for (const Rounding& r : kRoundings) {
    const auto f32 = [&](const Operands& o) {
      return Under(r.mode, op, F32(o[0]), F32(o[1]), F32(o[2]));
    };
    const std::string base = name + "." + r.name;
    ExpectAll(
        base + ".f32 %rq, " + operands32, FloatRows<float>(),
        [&](const Operands& o) { return Bits(f32(o)); }, SameF32);
    ExpectAll(
        base + ".ftz.f32 %rq, " + operands32, FloatRows<float>(),
        [&](const Operands& o) {
          const Operands flushed = {Bits(Flushed(F32(o[0]))), Bits(Flushed(F32(o[1]))),
                                    Bits(Flushed(F32(o[2])))};
          return Bits(Flushed(f32(flushed)));
        },
        SameF32);
    ExpectAll(base + ".sat.f32 %rq, " + operands32, FloatRows<float>(),
              [&](const Operands& o) { return Bits(Saturated(f32(o))); });
    ExpectAll(
        base + ".f64 %dq, " + operands64, FloatRows<double>(),
        [&](const Operands& o) { return Bits(Under(r.mode, op, F64(o[0]), F64(o[1]), F64(o[2]))); },
        SameF64);
  }
}

TEST(FloatingTest, Sums) {
  ExpectRounded("add", "%r0, %r1;", "%d0, %d1;", [](auto a, auto b, auto) { return a + b; });
  ExpectRounded("sub", "%r0, %r1;", "%d0, %d1;", [](auto a, auto b, auto) { return a - b; });
}
TEST(FloatingTest, Products) {
  ExpectRounded("mul", "%r0, %r1;", "%d0, %d1;", [](auto a, auto b, auto) { return a * b; });
}
TEST(FloatingTest, FusedProductsAndSums) {
  ExpectRounded("fma", "%r0, %r1, %r2;", "%d0, %d1, %d2;",
                [](auto a, auto b, auto c) { return std::fma(a, b, c); });
}

TEST(FloatingTest, QuotientsAndRoots) {
  const Rows rows = FloatRows<float>();
  const Rows rows64 = FloatRows<double>();
  ExpectAll(
      "div.rn.f32 %rq, %r0, %r1;", rows,
      [](const Operands& o) { return Bits(F32(o[0]) / F32(o[1])); }, SameF32);
  ExpectAll(
      "rcp.rn.f32 %rq, %r0;", rows, [](const Operands& o) { return Bits(1.0F / F32(o[0])); },
      SameF32);
  ExpectAll(
      "sqrt.rn.f32 %rq, %r0;", rows, [](const Operands& o) { return Bits(std::sqrt(F32(o[0]))); },
      SameF32);
  ExpectAll(
      "div.rn.f64 %dq, %d0, %d1;", rows64,
      [](const Operands& o) { return Bits(F64(o[0]) / F64(o[1])); }, SameF64);
  ExpectAll(
      "rcp.rn.f64 %dq, %d0;", rows64, [](const Operands& o) { return Bits(1.0 / F64(o[0])); },
      SameF64);
  ExpectAll(
      "sqrt.rn.f64 %dq, %d0;", rows64, [](const Operands& o) { return Bits(std::sqrt(F64(o[0]))); },
      SameF64);
}

TEST(FloatingTest, SignsAndMagnitudes) {
  const Rows rows = FloatRows<float>();
  ExpectAll(
      "neg.f32 %rq, %r0;", rows, [](const Operands& o) { return Bits(-F32(o[0])); }, SameF32);
  ExpectAll(
      "abs.f32 %rq, %r0;", rows, [](const Operands& o) { return Bits(std::abs(F32(o[0]))); },
      SameF32);
  ExpectAll(
      "neg.f64 %dq, %d0;", FloatRows<double>(), [](const Operands& o) { return Bits(-F64(o[0])); },
      SameF64);
  ExpectAll(
      "abs.f64 %dq, %d0;", FloatRows<double>(),
      [](const Operands& o) { return Bits(std::abs(F64(o[0]))); }, SameF64);
  ExpectAll(
      "abs.ftz.f32 %rq, %r0;", rows,
      [](const Operands& o) { return Bits(std::abs(Flushed(F32(o[0])))); }, SameF32);
  ExpectAll(
      "copysign.f32 %rq, %r0, %r1;", rows,  // the sign of the first
      [](const Operands& o) { return Bits(std::copysign(F32(o[1]), F32(o[0]))); }, SameF32);
}

// The other operand where one is NaN, the canonical NaN where both are; -0 is less than +0.
template <typename T>
T Least(T a, T b) {
  if (std::isnan(a)) return b;
  if (std::isnan(b)) return a;
  if (a == b) return std::signbit(a) ? a : b;
  return a < b ? a : b;
}
template <typename T>
T Greatest(T a, T b) {
  if (std::isnan(a)) return b;
  if (std::isnan(b)) return a;
  if (a == b) return std::signbit(a) ? b : a;
  return a > b ? a : b;
}
std::uint64_t Canonical(float value) { return std::isnan(value) ? 0x7fffffff : Bits(value); }

TEST(FloatingTest, MinimaAndMaxima) {
  const Rows rows = FloatRows<float>();
  ExpectAll("min.f32 %rq, %r0, %r1;", rows,
            [](const Operands& o) { return Canonical(Least(F32(o[0]), F32(o[1]))); });
  ExpectAll("max.f32 %rq, %r0, %r1;", rows,
            [](const Operands& o) { return Canonical(Greatest(F32(o[0]), F32(o[1]))); });
  ExpectAll("max.ftz.f32 %rq, %r0, %r1;", rows, [](const Operands& o) {
    return Canonical(Greatest(Flushed(F32(o[0])), Flushed(F32(o[1]))));
  });
  ExpectAll("min.NaN.f32 %rq, %r0, %r1;", rows, [](const Operands& o) {
    const bool any_nan = std::isnan(F32(o[0])) || std::isnan(F32(o[1]));
    return any_nan ? 0x7fffffff : Bits(Least(F32(o[0]), F32(o[1])));
  });
  ExpectAll("max.NaN.f32 %rq, %r0, %r1;", rows, [](const Operands& o) {
    const bool any_nan = std::isnan(F32(o[0])) || std::isnan(F32(o[1]));
    return any_nan ? 0x7fffffff : Bits(Greatest(F32(o[0]), F32(o[1])));
  });
  ExpectAll(
      "min.f64 %dq, %d0, %d1;", FloatRows<double>(),
      [](const Operands& o) { return Bits(Least(F64(o[0]), F64(o[1]))); }, SameF64);
  ExpectAll(
      "max.f64 %dq, %d0, %d1;", FloatRows<double>(),
      [](const Operands& o) { return Bits(Greatest(F64(o[0]), F64(o[1]))); }, SameF64);
}

// The ordered comparisons fail on NaN, those with u hold.
TEST(FloatingTest, Comparisons) {
  const auto compare = [](const std::string& op, bool with_nan, auto holds) {
    const auto defined = [=](auto a, auto b) {
      return std::uint64_t{std::isnan(a) || std::isnan(b) ? with_nan : holds(a, b)};
    };
    ExpectAll("setp." + op + ".f32 %pq, %r0, %r1;", FloatRows<float>(),
              [=](const Operands& o) { return defined(F32(o[0]), F32(o[1])); });
    ExpectAll("setp." + op + ".ftz.f32 %pq, %r0, %r1;", FloatRows<float>(),
              [=](const Operands& o) { return defined(Flushed(F32(o[0])), Flushed(F32(o[1]))); });
    ExpectAll("setp." + op + ".f64 %pq, %d0, %d1;", FloatRows<double>(),
              [=](const Operands& o) { return defined(F64(o[0]), F64(o[1])); });
  };
  for (const bool unordered : {false, true}) {
    const std::string u = unordered ? "u" : "";
    compare("eq" + u, unordered, [](auto a, auto b) { return a == b; });
    compare("ne" + u, unordered, [](auto a, auto b) { return a != b; });
    compare("lt" + u, unordered, [](auto a, auto b) { return a < b; });
    compare("le" + u, unordered, [](auto a, auto b) { return a <= b; });
    compare("gt" + u, unordered, [](auto a, auto b) { return a > b; });
    compare("ge" + u, unordered, [](auto a, auto b) { return a >= b; });
  }
  compare("num", false, [](auto, auto) { return true; });
  compare("nan", true, [](auto, auto) { return false; });
}

TEST(FloatingTest, Selection) {
  ExpectAll("setp.lt.f32 %p0, %r2, 0f00000000;\nselp.f32 %rq, %r0, %r1, %p0;", FloatRows<float>(),
            [](const Operands& o) { return F32(o[2]) < 0.0F ? o[0] : o[1]; });
}

// An approximation: within the manual's relative error of the function, special values exactly.
struct Approximation {
  std::string instruction;
  double (*function)(double);
  double relative_error;
  double absolute_error = 0;  // where the manual bounds it so
};

TEST(FloatingTest, Approximations) {
  const std::vector<Approximation> approximations = {
      {"rcp.approx.f32", [](double x) { return 1 / x; }, 0x1p-23},
      {"rsqrt.approx.f32", [](double x) { return 1 / std::sqrt(x); }, 0x1p-22},
      {"sqrt.approx.f32", [](double x) { return std::sqrt(x); }, 0x1p-23},
      {"ex2.approx.f32", [](double x) { return std::exp2(x); }, 0x1p-22},
      {"lg2.approx.f32", [](double x) { return std::log2(x); }, 0, 0x1p-22},
      {"tanh.approx.f32", [](double x) { return std::tanh(x); }, 0x1p-11},
  };
  Rows rows;
  for (float x = 0x1p-20F; x < 100.0F; x *= 1.37F) {
    rows.push_back({Bits(x)});
    rows.push_back({Bits(-x)});
  }
  for (const Approximation& a : approximations) {
    const std::vector<std::uint64_t> results = Evaluate(a.instruction + " %rq, %r0;", rows);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const double x = F32(rows[i][0]);
      const double expected = a.function(x);
      if (std::isnan(expected)) {
        EXPECT_TRUE(std::isnan(F32(results[i]))) << a.instruction << " of " << x;
        continue;
      }
      const double bound = std::max(a.relative_error * std::abs(expected),
                                    a.absolute_error * std::max(1.0, std::abs(expected)));
      EXPECT_NEAR(F32(results[i]), expected, bound + 0x1p-149) << a.instruction << " of " << x;
    }
  }
}

TEST(FloatingTest, ApproximationsOfSpecialValues) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto expect = [](const std::string& instruction, float x, float y) {
    ExpectAll(
        instruction + " %rq, %r0;", {{Bits(x)}}, [y](const Operands&) { return Bits(y); }, SameF32);
  };
  for (const std::string ftz : {"", ".ftz"}) {
    expect("ex2.approx" + ftz + ".f32", -kInf, 0.0F);
    expect("ex2.approx" + ftz + ".f32", kInf, kInf);
    expect("ex2.approx" + ftz + ".f32", nan, nan);
    expect("ex2.approx" + ftz + ".f32", -0.0F, 1.0F);
    expect("ex2.approx" + ftz + ".f32", kDenormal, 1.0F);
    expect("lg2.approx" + ftz + ".f32", 0.0F, -kInf);
    expect("lg2.approx" + ftz + ".f32", -0.0F, -kInf);
    expect("lg2.approx" + ftz + ".f32", -1.0F, nan);
    expect("lg2.approx" + ftz + ".f32", kInf, kInf);
    expect("rcp.approx" + ftz + ".f32", -0.0F, -kInf);
    expect("rcp.approx" + ftz + ".f32", -kInf, -0.0F);
    expect("rsqrt.approx" + ftz + ".f32", -0.0F, -kInf);
    expect("rsqrt.approx" + ftz + ".f32", kInf, 0.0F);
    expect("rsqrt.approx" + ftz + ".f32", -1.0F, nan);
    expect("sqrt.approx" + ftz + ".f32", -0.0F, -0.0F);
    expect("sqrt.approx" + ftz + ".f32", -1.0F, nan);
  }
  expect("ex2.approx.ftz.f32", -127.5F, 0.0F);  // a denormal result is flushed
  expect("lg2.approx.ftz.f32", kDenormal, -kInf);
  expect("rcp.approx.ftz.f32", -kDenormal, -kInf);
}

TEST(FloatingTest, SinesWithinTheManualsErrorForSmallAngles) {
  Rows rows;
  for (float x = -3.14F; x < 3.14F; x += 0.037F) rows.push_back({Bits(x)});
  const std::vector<std::uint64_t> sines = Evaluate("sin.approx.f32 %rq, %r0;", rows);
  const std::vector<std::uint64_t> cosines = Evaluate("cos.approx.f32 %rq, %r0;", rows);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    EXPECT_NEAR(F32(sines[i]), std::sin(double{F32(rows[i][0])}), 0x1p-20);
    EXPECT_NEAR(F32(cosines[i]), std::cos(double{F32(rows[i][0])}), 0x1p-20);
  }
}

TEST(FloatingTest, DivisionOfFullRange) {
  Rows rows;
  for (float x = 0x1p-60F; x < 0x1p60F; x *= -723.0F) rows.push_back({Bits(x), Bits(-3.7F)});
  const std::vector<std::uint64_t> results = Evaluate("div.full.f32 %rq, %r0, %r1;", rows);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const float expected = F32(rows[i][0]) / F32(rows[i][1]);
    EXPECT_NEAR(F32(results[i]), expected, std::abs(expected) * 0x1p-22F);  // 2 ulp
  }
}

}  // namespace
}  // namespace sequela::ptx
