// Floating-point arithmetic: fp32 and fp64 rounded as IEEE says; approximations rounded correctly.
#include <cmath>

#include "tests/ptx/interpreter/lanes.h"
#include "tests/ptx/interpreter/numbers.h"

namespace sequela::ptx {
bool BuildHalf(Decoder& d, Type type);  // half.cc

namespace {

// Bits of Instruction::form; form2 is the Rounding.
constexpr std::uint8_t kFlushes = 1;
constexpr std::uint8_t kSaturates = 2;

using FloatLane = LaneOf<float>::Type;

struct Add {
  static constexpr std::size_t kSources = 2;
  template <typename T>
  static T Apply(T a, T b, T) {
    return a + b;
  }
};
struct Subtract {
  static constexpr std::size_t kSources = 2;
  template <typename T>
  static T Apply(T a, T b, T) {
    return a - b;
  }
};
struct Multiply {
  static constexpr std::size_t kSources = 2;
  template <typename T>
  static T Apply(T a, T b, T) {
    return a * b;
  }
};
struct Divide {
  static constexpr std::size_t kSources = 2;
  template <typename T>
  static T Apply(T a, T b, T) {
    return a / b;
  }
};
struct Fma {
  static constexpr std::size_t kSources = 3;
  template <typename T>
  static T Apply(T a, T b, T c) {
    return std::fma(a, b, c);
  }
};
struct SquareRoot {
  static constexpr std::size_t kSources = 1;
  template <typename T>
  static T Apply(T a, T, T) {
    return std::sqrt(a);
  }
};
struct Reciprocal {
  static constexpr std::size_t kSources = 1;
  template <typename T>
  static T Apply(T a, T, T) {
    return T{1} / a;
  }
};
// A NaN loses to a number; -0 is less than +0.
struct Minimum {
  static constexpr std::size_t kSources = 2;
  template <typename T>
  static T Apply(T a, T b, T) {
    if (a != a) return b;
    if (b != b) return a;
    if (a == b) return std::signbit(a) ? a : b;
    return a < b ? a : b;
  }
};
struct Maximum {
  static constexpr std::size_t kSources = 2;
  template <typename T>
  static T Apply(T a, T b, T) {
    if (a != a) return b;
    if (b != b) return a;
    if (a == b) return std::signbit(a) ? b : a;
    return a < b ? b : a;
  }
};
template <typename Op>
struct NanWins {
  static constexpr std::size_t kSources = 2;
  template <typename T>
  static T Apply(T a, T b, T c) {
    if (a != a) return a;
    if (b != b) return b;
    return Op::template Apply<T>(a, b, c);
  }
};
// Approximations, through fp64.
template <double (*F)(double)>
struct Approximation {
  static constexpr std::size_t kSources = 1;
  template <typename T>
  static T Apply(T a, T, T) {
    return static_cast<T>(F(static_cast<double>(a)));
  }
};
double ReciprocalRoot(double a) { return 1.0 / std::sqrt(a); }

template <typename T, typename Op>
T ApplyAt(const T* a, const T* b, const T* c) {
  return Op::template Apply<T>(*a, Op::kSources > 1 ? *b : T{0}, Op::kSources > 2 ? *c : T{0});
}

// Rounds to nearest, neither flushes nor saturates.
template <typename T, typename Op>
void Plain(Warp& warp, const Instruction& in, std::uint32_t mask) {
  auto* d = warp.Lanes<T>(in.dst[0]);
  const auto* a = warp.Lanes<T>(in.src[0]);
  const auto* b = warp.Lanes<T>(in.src[Op::kSources > 1 ? 1 : 0]);
  const auto* c = warp.Lanes<T>(in.src[Op::kSources > 2 ? 2 : 0]);
  ForLanes(mask, [=](std::uint32_t lane) {
    d[lane] = CanonicalNan(Op::template Apply<T>(static_cast<T>(a[lane]), static_cast<T>(b[lane]),
                                                 static_cast<T>(c[lane])));
  });
}

// fma in a clone for processors that have it.
[[gnu::target_clones("arch=haswell", "default")]] void FmaLanes(const FloatLane* a,
                                                                const FloatLane* b,
                                                                const FloatLane* c, FloatLane* d) {
#pragma GCC ivdep
  for (std::uint32_t lane = 0; lane < kLanes; ++lane) {
    const float r = __builtin_fmaf(a[lane], b[lane], c[lane]);
    d[lane] = r != r ? std::bit_cast<float>(kNan32) : r;
  }
}
void PlainFma(Warp& warp, const Instruction& in, std::uint32_t mask) {
  if (mask != kFullMask) return Plain<float, Fma>(warp, in, mask);
  FmaLanes(warp.Lanes<float>(in.src[0]), warp.Lanes<float>(in.src[1]), warp.Lanes<float>(in.src[2]),
           warp.Lanes<float>(in.dst[0]));
}

// Whatever else the modifiers ask for.
template <typename T, typename Op>
void Modified(Warp& warp, const Instruction& in, std::uint32_t mask) {
  auto* d = warp.Lanes<T>(in.dst[0]);
  const auto* a = warp.Lanes<T>(in.src[0]);
  const auto* b = warp.Lanes<T>(in.src[Op::kSources > 1 ? 1 : 0]);
  const auto* c = warp.Lanes<T>(in.src[Op::kSources > 2 ? 2 : 0]);
  const RoundingScope scope(static_cast<Rounding>(in.form2));
  const bool flushes = (in.form & kFlushes) != 0;
  const bool saturates = (in.form & kSaturates) != 0;
  for (std::uint32_t left = mask; left != 0; left &= left - 1) {
    const int lane = __builtin_ctz(left);
    const volatile T x = flushes ? Flush(T{a[lane]}) : T{a[lane]};
    const volatile T y = flushes ? Flush(T{b[lane]}) : T{b[lane]};
    const volatile T z = flushes ? Flush(T{c[lane]}) : T{c[lane]};
    volatile T result = Op::template Apply<T>(x, y, z);
    if (flushes) result = Flush(T{result});
    d[lane] = saturates ? Saturate(T{result}) : CanonicalNan(T{result});
  }
}

void TakeRounding(Decoder& d) {
  const int rounding = d.op.TakeOneOf({"rn", "rz", "rm", "rp"});
  d.in.form2 = static_cast<std::uint8_t>(std::max(rounding, 0));
}

template <typename Op>
void Build(Decoder& d, Type type) {
  if (d.op.Take("ftz")) d.in.form |= kFlushes;
  if (d.op.Take("sat")) d.in.form |= kSaturates;
  const bool plain = d.in.form == 0 && d.in.form2 == 0;
  if (type == Type::kF32) d.in.run = plain ? Plain<float, Op> : Modified<float, Op>;
  if (type == Type::kF64) d.in.run = plain ? Plain<double, Op> : Modified<double, Op>;
  if (d.in.run == nullptr) d.Fail("not for this type");
  SameWidthOperands(d, type, Op::kSources);
}

void BuildDivide(Decoder& d, Type type) {
  d.op.TakeOneOf({"approx", "full"});
  TakeRounding(d);
  Build<Divide>(d, type);
}

void BuildFma(Decoder& d) {
  const Type type = d.TakeType();
  if (BuildHalf(d, type)) return;
  TakeRounding(d);
  Build<Fma>(d, type);
  if (d.in.run == Handler{Plain<float, Fma>}) d.in.run = PlainFma;
}

template <typename Op, typename Result = void>
void BuildRoot(Decoder& d) {
  const Type type = d.TakeType();
  d.op.Take("approx");
  TakeRounding(d);
  Build<Op>(d, type);
}

template <typename Op>
void BuildApproximation(Decoder& d) {
  const Type type = d.TakeType();
  if (!d.op.Take("approx") && !d.op.Take("rn")) d.Fail("only .approx is known");
  Build<Op>(d, type);
}

// neg and abs touch the sign alone, of a NaN too.
template <typename Bits, bool kNegates>
struct Sign {
  static Bits Apply(Bits a) {
    constexpr Bits kSign = Bits{1} << (8 * sizeof(Bits) - 1);
    return static_cast<Bits>(kNegates ? a ^ kSign : a & ~kSign);
  }
};
template <bool kNegates>
void FlushedSign(Warp& warp, const Instruction& in, std::uint32_t mask) {
  auto* d = warp.Lanes<float>(in.dst[0]);
  const auto* a = warp.Lanes<float>(in.src[0]);
  ForLanes(mask, [=](std::uint32_t lane) {
    const float value = Flush(float{a[lane]});
    d[lane] = kNegates ? -value : std::fabs(value);
  });
}
template <bool kNegates>
void BuildSign(Decoder& d, Type type) {
  if (d.op.Take("ftz")) {
    d.in.run = FlushedSign<kNegates>;
    return SameWidthOperands(d, Type::kF32, 1);
  }
  d.in.run = type == Type::kF32
                 ? Handler{Unary<std::uint32_t, std::uint32_t, Sign<std::uint32_t, kNegates>>}
                 : Handler{Unary<std::uint64_t, std::uint64_t, Sign<std::uint64_t, kNegates>>};
  SameWidthOperands(d, type, 1);
}

template <typename Op>
void BuildExtremum(Decoder& d, Type type) {
  if (d.op.Take("NaN")) {
    Build<NanWins<Op>>(d, type);
  } else {
    Build<Op>(d, type);
  }
}

// copysign d, a, b: b with the sign of a.
template <typename Bits>
struct CopySign {
  static Bits Apply(Bits a, Bits b) {
    constexpr Bits kSign = Bits{1} << (8 * sizeof(Bits) - 1);
    return (a & kSign) | (b & ~kSign);
  }
};
void BuildCopySign(Decoder& d) {
  const Type type = d.TakeType();
  d.in.run = type == Type::kF32
                 ? Handler{Binary<std::uint32_t, std::uint32_t, CopySign<std::uint32_t>>}
                 : Handler{Binary<std::uint64_t, std::uint64_t, CopySign<std::uint64_t>>};
  SameWidthOperands(d, type, 2);
}

double Sine(double a) { return std::sin(a); }
double Cosine(double a) { return std::cos(a); }
double Exp2(double a) { return std::exp2(a); }
double Log2(double a) { return std::log2(a); }
double Tanh(double a) { return std::tanh(a); }

}  // namespace

bool BuildFloat(Decoder& d, Type type) {
  if (!IsFloat(type)) return false;
  if (BuildHalf(d, type)) return true;
  const std::string_view root = d.op.Root();
  if (root == "div") {
    BuildDivide(d, type);
    return true;
  }
  if (root == "min" || root == "max") {
    root == "min" ? BuildExtremum<Minimum>(d, type) : BuildExtremum<Maximum>(d, type);
    return true;
  }
  if (root == "neg" || root == "abs") {
    root == "neg" ? BuildSign<true>(d, type) : BuildSign<false>(d, type);
    return true;
  }
  TakeRounding(d);
  if (root == "add") Build<Add>(d, type);
  if (root == "sub") Build<Subtract>(d, type);
  if (root == "mul") Build<Multiply>(d, type);
  if (root == "mad") Build<Fma>(d, type);
  if (root == "rem") d.Fail("not for this type");
  return true;
}

const BuilderTable& FloatBuilders() {
  static const BuilderTable table = {{"fma", BuildFma},
                                     {"copysign", BuildCopySign},
                                     {"sqrt", BuildRoot<SquareRoot>},
                                     {"rcp", BuildRoot<Reciprocal>},
                                     {"rsqrt", BuildApproximation<Approximation<ReciprocalRoot>>},
                                     {"sin", BuildApproximation<Approximation<Sine>>},
                                     {"cos", BuildApproximation<Approximation<Cosine>>},
                                     {"ex2", BuildApproximation<Approximation<Exp2>>},
                                     {"lg2", BuildApproximation<Approximation<Log2>>},
                                     {"tanh", BuildApproximation<Approximation<Tanh>>}};
  return table;
}

}  // namespace sequela::ptx
