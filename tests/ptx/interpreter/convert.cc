// cvt: between integers, between floating-point formats, and across.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "tests/ptx/interpreter/lanes.h"
#include "tests/ptx/interpreter/numbers.h"

namespace sequela::ptx {
namespace {

// How an instruction is told what to convert: in.form the source's Type, in.form2 the
// destination's, in.bytes and in.width the bytes of their registers, in.immediate the flags.
constexpr std::int64_t kRoundingBits = 3;
constexpr std::int64_t kToInteger = 4;  // the rounding is to an integer
constexpr std::int64_t kFlushes = 8;
constexpr std::int64_t kSaturates = 16;
constexpr std::int64_t kRelu = 32;

using Integers = std::array<std::int64_t, kLanes>;
using Reals = std::array<double, kLanes>;

Type SourceType(const Instruction& in) { return static_cast<Type>(in.form); }
Type TargetType(const Instruction& in) { return static_cast<Type>(in.form2); }
Rounding RoundingOf(const Instruction& in) {
  return static_cast<Rounding>(in.immediate & kRoundingBits);
}
bool Has(const Instruction& in, std::int64_t flag) { return (in.immediate & flag) != 0; }

std::uint64_t ReadRegister(Warp& warp, Slot slot, std::size_t width, std::uint32_t lane) {
  if (width == 2) return warp.Lanes<std::uint16_t>(slot)[lane];
  if (width == 4) return warp.Lanes<std::uint32_t>(slot)[lane];
  return warp.Lanes<std::uint64_t>(slot)[lane];
}
void WriteRegister(Warp& warp, Slot slot, std::size_t width, std::uint32_t lane,
                   std::uint64_t value) {
  if (width == 2) {
    warp.Lanes<std::uint16_t>(slot)[lane] = static_cast<std::uint16_t>(value);
  } else if (width == 4) {
    warp.Lanes<std::uint32_t>(slot)[lane] = static_cast<std::uint32_t>(value);
  } else {
    warp.Lanes<std::uint64_t>(slot)[lane] = value;
  }
}

// The low bytes of `bits`, extended by sign or zeros.
std::uint64_t Extend(std::uint64_t bits, Type type) {
  const int unused = 64 - 8 * static_cast<int>(BytesOf(type));
  if (IsSigned(type)) {
    return static_cast<std::uint64_t>(static_cast<std::int64_t>(bits << unused) >> unused);
  }
  return bits << unused >> unused;
}

double ReadReal(std::uint64_t bits, Type type, bool flushes) {
  switch (type) {
    case Type::kF16:
      return FromHalf(static_cast<std::uint16_t>(bits));
    case Type::kBf16:
      return FromBf16(static_cast<std::uint16_t>(bits));
    case Type::kF32: {
      const float value = std::bit_cast<float>(static_cast<std::uint32_t>(bits));
      return flushes ? Flush(value) : value;
    }
    default:
      return std::bit_cast<double>(bits);
  }
}

std::uint64_t WriteReal(double value, Type type, const Instruction& in) {
  const Rounding rounding = Has(in, kToInteger) ? Rounding::kNearest : RoundingOf(in);
  if (Has(in, kSaturates)) value = Saturate(value);
  if (Has(in, kRelu)) value = value <= 0 ? 0.0 : value;
  switch (type) {
    case Type::kF16:
      return ToHalf(value, rounding);
    case Type::kBf16:
      return ToBfloat(value, rounding);
    case Type::kF32: {
      const RoundingScope scope(rounding);
      const volatile double exact = value;
      const volatile float rounded = static_cast<float>(exact);
      const float result = Has(in, kFlushes) ? Flush(float{rounded}) : float{rounded};
      return std::bit_cast<std::uint32_t>(CanonicalNan(result));
    }
    default:
      return std::bit_cast<std::uint64_t>(value);
  }
}

double RoundToInteger(double value, Rounding rounding) {
  const RoundingScope scope(rounding);
  const volatile double exact = value;
  return std::nearbyint(exact);
}

struct Limits {
  std::int64_t least;
  std::uint64_t most;
};
Limits LimitsOf(Type type) {
  const int bits = 8 * static_cast<int>(BytesOf(type));
  if (IsSigned(type)) {
    return {std::numeric_limits<std::int64_t>::min() >> (64 - bits),
            static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) >> (64 - bits)};
  }
  return {0, ~std::uint64_t{0} >> (64 - bits)};
}

std::uint64_t IntegerFromReal(double value, const Instruction& in) {
  if (std::isnan(value)) {  // 0 where neither side has 64 bits, else the lone highest bit
    const std::size_t bytes = BytesOf(TargetType(in));
    const bool wide = bytes == 8 || BytesOf(SourceType(in)) == 8;
    return wide ? std::uint64_t{1} << (8 * bytes - 1) : 0;
  }
  const double rounded = RoundToInteger(value, RoundingOf(in));
  const Limits limits = LimitsOf(TargetType(in));
  if (rounded <= static_cast<double>(limits.least)) return static_cast<std::uint64_t>(limits.least);
  if (rounded >= static_cast<double>(limits.most)) return limits.most;
  return rounded < 0 ? static_cast<std::uint64_t>(static_cast<std::int64_t>(rounded))
                     : static_cast<std::uint64_t>(rounded);
}

std::uint64_t IntegerFromInteger(std::uint64_t value, const Instruction& in) {
  const Type to = TargetType(in);
  if (Has(in, kSaturates)) {
    const Limits limits = LimitsOf(to);
    const bool negative = IsSigned(SourceType(in)) && static_cast<std::int64_t>(value) < 0;
    if (negative) {
      value = static_cast<std::uint64_t>(std::max(static_cast<std::int64_t>(value), limits.least));
    } else {
      value = std::min(value, limits.most);
    }
  }
  return Extend(value, to);
}

std::uint64_t RealFromInteger(std::uint64_t value, const Instruction& in) {
  const bool is_signed = IsSigned(SourceType(in));
  const auto as_signed = static_cast<std::int64_t>(value);
  if (TargetType(in) == Type::kF32) {
    const RoundingScope scope(RoundingOf(in));
    const volatile std::uint64_t bits = value;
    const volatile float rounded = is_signed ? static_cast<float>(static_cast<std::int64_t>(bits))
                                             : static_cast<float>(std::uint64_t{bits});
    return std::bit_cast<std::uint32_t>(float{rounded});
  }
  const RoundingScope scope(RoundingOf(in));
  const volatile double real =
      is_signed ? static_cast<double>(as_signed) : static_cast<double>(value);
  if (TargetType(in) == Type::kF64) return std::bit_cast<std::uint64_t>(double{real});
  return WriteReal(real, TargetType(in), in);
}

std::uint64_t ConvertOne(std::uint64_t bits, const Instruction& in) {
  const Type from = SourceType(in);
  const Type to = TargetType(in);
  if (!IsFloat(from)) {
    const std::uint64_t value = Extend(bits, from);
    return IsFloat(to) ? RealFromInteger(value, in) : IntegerFromInteger(value, in);
  }
  double value = ReadReal(bits, from, Has(in, kFlushes));
  if (!IsFloat(to)) return IntegerFromReal(value, in);
  if (Has(in, kToInteger)) value = RoundToInteger(value, RoundingOf(in));
  return WriteReal(value, to, in);
}

void Convert(Warp& warp, const Instruction& in, std::uint32_t mask) {
  ForLanes(mask, [&](std::uint32_t lane) {
    const std::uint64_t bits = ReadRegister(warp, in.src[0], in.bytes, lane);
    WriteRegister(warp, in.dst[0], in.width, lane, ConvertOne(bits, in));
  });
}

// The conversions that our kernels live on.
template <typename D, typename A>
void Resize(Warp& warp, const Instruction& in, std::uint32_t mask) {
  auto* d = warp.Lanes<D>(in.dst[0]);
  const auto* a = warp.Lanes<A>(in.src[0]);
  ForLanes(mask, [=](std::uint32_t lane) { d[lane] = static_cast<D>(a[lane]); });
}
std::uint16_t NearestBfloat(float value) { return value != value ? kNan16 : ToBf16(value).bits; }
void ToBfloats(Warp& warp, const Instruction& in, std::uint32_t mask) {
  auto* d = warp.Lanes<std::uint16_t>(in.dst[0]);
  const auto* a = warp.Lanes<float>(in.src[0]);
  ForLanes(mask, [=](std::uint32_t lane) { d[lane] = NearestBfloat(a[lane]); });
}
void ToBfloatPairs(Warp& warp, const Instruction& in, std::uint32_t mask) {
  auto* d = warp.Lanes<std::uint32_t>(in.dst[0]);
  const auto* high = warp.Lanes<float>(in.src[0]);
  const auto* low = warp.Lanes<float>(in.src[1]);
  ForLanes(mask, [=](std::uint32_t lane) {
    d[lane] =
        static_cast<std::uint32_t>(NearestBfloat(high[lane])) << 16 | NearestBfloat(low[lane]);
  });
}
void FromBfloats(Warp& warp, const Instruction& in, std::uint32_t mask) {
  auto* d = warp.Lanes<std::uint32_t>(in.dst[0]);
  const auto* a = warp.Lanes<std::uint16_t>(in.src[0]);
  ForLanes(mask, [=](std::uint32_t lane) {
    const std::uint32_t bits = static_cast<std::uint32_t>(a[lane]) << 16;
    d[lane] = (bits & 0x7fffffffU) > 0x7f800000U ? kNan32 : bits;
  });
}

Handler FastHandler(const Instruction& in) {
  const Type from = SourceType(in);
  const Type to = TargetType(in);
  const bool exact_registers = in.bytes == BytesOf(from) && in.width == BytesOf(to);
  if (!exact_registers || in.immediate != 0) return nullptr;
  if (from == Type::kF32 && to == Type::kBf16) return ToBfloats;
  if (from == Type::kBf16 && to == Type::kF32) return FromBfloats;
  if (IsFloat(to) || IsFloat(from)) {
    if (from == Type::kS32 && to == Type::kF32) return Resize<float, std::int32_t>;
    if (from == Type::kU32 && to == Type::kF32) return Resize<float, std::uint32_t>;
    if (from == Type::kF32 && to == Type::kF64) return Resize<double, float>;
    return nullptr;
  }
  if (BytesOf(to) == 8 && BytesOf(from) == 4) {
    return IsSigned(from) ? Handler{Resize<std::int64_t, std::int32_t>}
                          : Handler{Resize<std::uint64_t, std::uint32_t>};
  }
  if (BytesOf(to) == 4 && BytesOf(from) == 8) return Resize<std::uint32_t, std::uint64_t>;
  return nullptr;
}

// cvt.rn.bf16x2.f32 d, high, low.
void ConvertPair(Warp& warp, const Instruction& in, std::uint32_t mask) {
  auto* d = warp.Lanes<std::uint32_t>(in.dst[0]);
  const auto* high = warp.Lanes<std::uint32_t>(in.src[0]);
  const auto* low = warp.Lanes<std::uint32_t>(in.src[1]);
  ForLanes(mask, [&](std::uint32_t lane) {
    d[lane] =
        static_cast<std::uint32_t>(ConvertOne(high[lane], in) << 16 | ConvertOne(low[lane], in));
  });
}

template <bool kTiesAway>
void ConvertTf32(Warp& warp, const Instruction& in, std::uint32_t mask) {
  auto* d = warp.Lanes<std::uint32_t>(in.dst[0]);
  const auto* a = warp.Lanes<float>(in.src[0]);
  ForLanes(mask, [=](std::uint32_t lane) { d[lane] = ToTf32(a[lane], kTiesAway); });
}

void TakeFlags(Decoder& d) {
  const int rounding = d.op.TakeOneOf({"rn", "rz", "rm", "rp"});
  const int to_integer = d.op.TakeOneOf({"rni", "rzi", "rmi", "rpi"});
  d.in.immediate = std::max({rounding, to_integer, 0});
  if (to_integer >= 0) d.in.immediate |= kToInteger;
  if (d.op.Take("ftz")) d.in.immediate |= kFlushes;
  if (d.op.Take("sat")) d.in.immediate |= kSaturates;
  if (d.op.Take("relu")) d.in.immediate |= kRelu;
}

void BuildCvt(Decoder& d) {
  const Type to = d.TakeType();
  const Type from = d.TakeType();
  if (to == Type::kTf32) {
    const bool ties_away = d.op.TakeOneOf({"rna", "rn"}) == 0;
    d.in.run = ties_away ? ConvertTf32<true> : ConvertTf32<false>;
    SameWidthOperands(d, Type::kB32, 1);
    return;
  }
  TakeFlags(d);
  d.in.form = static_cast<std::uint8_t>(from);
  if (to == Type::kBf16x2 || to == Type::kF16x2) {
    const bool bfloat = to == Type::kBf16x2;
    if (from != Type::kF32) d.Fail("not from this type");
    d.in.form2 = static_cast<std::uint8_t>(bfloat ? Type::kBf16 : Type::kF16);
    d.in.run = bfloat && d.in.immediate == 0 ? ToBfloatPairs : ConvertPair;
    SameWidthOperands(d, Type::kB32, 2);
    return;
  }
  d.in.form2 = static_cast<std::uint8_t>(to);
  d.Src(d.At(1), 0);
  d.in.bytes = d.in.width;
  d.Dst(d.At(0), 0);
  d.in.run = FastHandler(d.in);
  if (d.in.run == nullptr) d.in.run = Convert;
}

}  // namespace

const BuilderTable& ConversionBuilders() {
  static const BuilderTable table = {{"cvt", BuildCvt}};
  return table;
}

}  // namespace sequela::ptx
