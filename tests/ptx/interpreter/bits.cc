// Fields and permutations of bits.
#include <bit>

#include "tests/ptx/interpreter/lanes.h"

namespace sequela::ptx {
namespace {

struct CountOnes {
  template <typename T>
  static std::uint32_t Apply(T a) {
    return static_cast<std::uint32_t>(std::popcount(a));
  }
};
struct LeadingZeros {
  template <typename T>
  static std::uint32_t Apply(T a) {
    return static_cast<std::uint32_t>(std::countl_zero(a));
  }
};
struct Reverse {
  template <typename T>
  static T Apply(T a) {
    T reversed = 0;
    for (std::size_t i = 0; i < 8 * sizeof(T); ++i, a >>= 1) {
      reversed = static_cast<T>(reversed << 1 | (a & 1U));
    }
    return reversed;
  }
};
// The most significant bit that is not the sign; all ones where there is none.
struct FindBit {
  template <typename T>
  static std::uint32_t Apply(T a) {
    using U = std::make_unsigned_t<T>;
    const U bits = static_cast<U>(a < 0 ? ~a : a);
    if (bits == 0) return 0xffffffffU;
    return static_cast<std::uint32_t>(8 * sizeof(T) - 1) -
           static_cast<std::uint32_t>(std::countl_zero(bits));
  }
};

template <typename Op>
void BuildCount(Decoder& d) {
  const Type type = d.TakeType();
  d.in.run = BytesOf(type) == 4 ? Handler{Unary<std::uint32_t, std::uint32_t, Op>}
                                : Handler{Unary<std::uint32_t, std::uint64_t, Op>};
  d.Dst(d.At(0), 4);
  d.Src(d.At(1), BytesOf(type));
}
void BuildReverse(Decoder& d) {
  const Type type = d.TakeType();
  d.in.run = BytesOf(type) == 4 ? Handler{Unary<std::uint32_t, std::uint32_t, Reverse>}
                                : Handler{Unary<std::uint64_t, std::uint64_t, Reverse>};
  SameWidthOperands(d, type, 1);
}
void BuildFind(Decoder& d) {
  const Type type = d.TakeType();
  d.in.run = ByIntegerType(
      type, [](auto t) -> Handler { return Unary<std::uint32_t, decltype(t), FindBit>; });
  d.Dst(d.At(0), 4);
  d.Src(d.At(1), BytesOf(type));
}

// bfe: `length` bits from `position`; beyond the end stand copies of the sign.
template <typename T>
void ExtractField(Warp& warp, const Instruction& in, std::uint32_t mask) {
  constexpr std::uint32_t kBits = 8 * sizeof(T);
  auto* d = warp.Lanes<T>(in.dst[0]);
  const auto* a = warp.Lanes<T>(in.src[0]);
  const auto* position = warp.Lanes<std::uint32_t>(in.src[1]);
  const auto* length = warp.Lanes<std::uint32_t>(in.src[2]);
  ForLanes(mask, [=](std::uint32_t lane) {
    const std::uint32_t from = position[lane] & 0xffU;
    const std::uint32_t count = length[lane] & 0xffU;
    const T value = a[lane];
    const std::uint32_t last = std::min(from + count - 1, kBits - 1);
    const bool sign = std::is_signed_v<T> && count > 0 && (value >> last & 1) != 0;
    T field = 0;
    for (std::uint32_t i = 0; i < kBits; ++i) {
      const bool bit = i < count && from + i < kBits ? (value >> (from + i) & 1) != 0 : sign;
      if (bit) field = static_cast<T>(field | static_cast<T>(std::uint64_t{1} << i));
    }
    d[lane] = field;
  });
}
void BuildExtract(Decoder& d) {
  const Type type = d.TakeType();
  d.in.run = ByIntegerType(type, [](auto t) -> Handler { return ExtractField<decltype(t)>; });
  d.Dst(d.At(0), BytesOf(type));
  d.Src(d.At(1), BytesOf(type));
  d.Src(d.At(2), 4);
  d.Src(d.At(3), 4);
}

template <typename T>
void InsertField(Warp& warp, const Instruction& in, std::uint32_t mask) {
  constexpr std::uint32_t kBits = 8 * sizeof(T);
  auto* d = warp.Lanes<T>(in.dst[0]);
  const auto* a = warp.Lanes<T>(in.src[0]);
  const auto* b = warp.Lanes<T>(in.src[1]);
  const auto* position = warp.Lanes<std::uint32_t>(in.src[2]);
  const auto* length = warp.Lanes<std::uint32_t>(in.src[3]);
  ForLanes(mask, [=](std::uint32_t lane) {
    const std::uint32_t from = position[lane] & 0xffU;
    const std::uint32_t count = std::min(length[lane] & 0xffU, kBits);
    T field = 0;
    if (count > 0 && from < kBits)
      field = static_cast<T>(static_cast<T>(~T{0}) >> (kBits - count) << from);
    const T shifted = from < kBits ? static_cast<T>(a[lane] << from) : T{0};
    d[lane] = (b[lane] & ~field) | (shifted & field);
  });
}
void BuildInsert(Decoder& d) {
  const Type type = d.TakeType();
  const std::size_t bytes = BytesOf(type);
  d.in.run = bytes == 4 ? InsertField<std::uint32_t> : InsertField<std::uint64_t>;
  d.Dst(d.At(0), bytes);
  d.Src(d.At(1), bytes);
  d.Src(d.At(2), bytes);
  d.Src(d.At(3), 4);
  d.Src(d.At(4), 4);
}

// shf: the upper (left) or lower (right) word of a shifted pair.
template <bool kLeft, bool kWrap>
void FunnelShift(Warp& warp, const Instruction& in, std::uint32_t mask) {
  auto* d = warp.Lanes<std::uint32_t>(in.dst[0]);
  const auto* low = warp.Lanes<std::uint32_t>(in.src[0]);
  const auto* high = warp.Lanes<std::uint32_t>(in.src[1]);
  const auto* count = warp.Lanes<std::uint32_t>(in.src[2]);
  ForLanes(mask, [=](std::uint32_t lane) {
    const std::uint32_t by = kWrap ? count[lane] & 31U : std::min<std::uint32_t>(count[lane], 32);
    const std::uint64_t pair = std::uint64_t{high[lane]} << 32 | low[lane];
    d[lane] = static_cast<std::uint32_t>(kLeft ? pair >> (32 - by) : pair >> by);
  });
}
void BuildFunnelShift(Decoder& d) {
  const Type type = d.TakeType();
  if (BytesOf(type) != 4) d.Fail("not for this type");
  const bool left = d.op.TakeOneOf({"r", "l"}) == 1;
  const bool wrap = d.op.TakeOneOf({"clamp", "wrap"}) == 1;
  d.in.run = left ? (wrap ? FunnelShift<true, true> : FunnelShift<true, false>)
                  : (wrap ? FunnelShift<false, true> : FunnelShift<false, false>);
  SameWidthOperands(d, type, 3);
}

void Permute(Warp& warp, const Instruction& in, std::uint32_t mask) {
  auto* d = warp.Lanes<std::uint32_t>(in.dst[0]);
  const auto* a = warp.Lanes<std::uint32_t>(in.src[0]);
  const auto* b = warp.Lanes<std::uint32_t>(in.src[1]);
  const auto* selector = warp.Lanes<std::uint32_t>(in.src[2]);
  ForLanes(mask, [=](std::uint32_t lane) {
    const std::uint64_t bytes = std::uint64_t{b[lane]} << 32 | a[lane];
    std::uint32_t result = 0;
    for (std::uint32_t i = 0; i < 4; ++i) {
      const std::uint32_t choice = selector[lane] >> (4 * i) & 0xfU;
      std::uint32_t byte = static_cast<std::uint32_t>(bytes >> (8 * (choice & 7U))) & 0xffU;
      if ((choice & 8U) != 0) byte = (byte & 0x80U) != 0 ? 0xffU : 0;  // its sign, repeated
      result |= byte << (8 * i);
    }
    d[lane] = result;
  });
}
void BuildPermute(Decoder& d) {
  SameWidthOperands(d, d.TakeType(), 3);
  d.in.run = Permute;
}

// in.form: the truth table.
void Logic3(Warp& warp, const Instruction& in, std::uint32_t mask) {
  auto* d = warp.Lanes<std::uint32_t>(in.dst[0]);
  const auto* a = warp.Lanes<std::uint32_t>(in.src[0]);
  const auto* b = warp.Lanes<std::uint32_t>(in.src[1]);
  const auto* c = warp.Lanes<std::uint32_t>(in.src[2]);
  const std::uint32_t table = in.form;
  ForLanes(mask, [=](std::uint32_t lane) {
    std::uint32_t result = 0;
    for (std::uint32_t row = 0; row < 8; ++row) {
      const std::uint32_t term = ((row & 4U) != 0 ? a[lane] : ~a[lane]) &
                                 ((row & 2U) != 0 ? b[lane] : ~b[lane]) &
                                 ((row & 1U) != 0 ? c[lane] : ~c[lane]);
      result |= (table >> row & 1U) != 0 ? term : 0;
    }
    d[lane] = result;
  });
}
void BuildLogic3(Decoder& d) {
  if (BytesOf(d.TakeType()) != 4) d.Fail("not for this type");
  d.Dst(d.At(0), 4);
  for (std::size_t i = 1; i <= 3; ++i) d.Src(d.At(i), 4);
  d.in.form = static_cast<std::uint8_t>(d.At(4).value);
  d.in.run = Logic3;
}

}  // namespace

const BuilderTable& BitBuilders() {
  static const BuilderTable table = {{"popc", BuildCount<CountOnes>},
                                     {"clz", BuildCount<LeadingZeros>},
                                     {"brev", BuildReverse},
                                     {"bfind", BuildFind},
                                     {"bfe", BuildExtract},
                                     {"bfi", BuildInsert},
                                     {"shf", BuildFunnelShift},
                                     {"prmt", BuildPermute},
                                     {"lop3", BuildLogic3}};
  return table;
}

}  // namespace sequela::ptx
