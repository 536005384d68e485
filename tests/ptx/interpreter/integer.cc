// Arithmetic on integers.
#include <limits>
#include <type_traits>

#include "tests/ptx/interpreter/lanes.h"

namespace sequela::ptx {
namespace {

template <typename T>
struct WideOf;
template <>
struct WideOf<std::uint16_t> {
  using Type = std::uint32_t;
};
template <>
struct WideOf<std::int16_t> {
  using Type = std::int32_t;
};
template <>
struct WideOf<std::uint32_t> {
  using Type = std::uint64_t;
};
template <>
struct WideOf<std::int32_t> {
  using Type = std::int64_t;
};
__extension__ using Wide128 = __int128;
__extension__ using UnsignedWide128 = unsigned __int128;
template <>
struct WideOf<std::uint64_t> {
  using Type = UnsignedWide128;
};
template <>
struct WideOf<std::int64_t> {
  using Type = Wide128;
};
template <typename T>
using Wide = typename WideOf<T>::Type;

// What wraps is computed without a sign, in at least 32 bits.
template <typename T>
using Wrapping = std::common_type_t<std::make_unsigned_t<T>, std::uint32_t>;

struct Add {
  template <typename T>
  static T Apply(T a, T b) {
    return static_cast<T>(static_cast<Wrapping<T>>(a) + static_cast<Wrapping<T>>(b));
  }
};
struct Subtract {
  template <typename T>
  static T Apply(T a, T b) {
    return static_cast<T>(static_cast<Wrapping<T>>(a) - static_cast<Wrapping<T>>(b));
  }
};
struct MultiplyLow {
  template <typename T>
  static T Apply(T a, T b) {
    return static_cast<T>(static_cast<Wrapping<T>>(a) * static_cast<Wrapping<T>>(b));
  }
};
struct MultiplyHigh {
  template <typename T>
  static T Apply(T a, T b) {
    return static_cast<T>(static_cast<Wide<T>>(a) * static_cast<Wide<T>>(b) >> (8 * sizeof(T)));
  }
};
struct MultiplyWide {
  template <typename T>
  static Wide<T> Apply(T a, T b) {
    return static_cast<Wide<T>>(a) * static_cast<Wide<T>>(b);
  }
};
template <typename Product>
struct MultiplyAdd {
  template <typename T, typename C>
  static C Apply(T a, T b, C c) {
    return Add::Apply<C>(Product::Apply(a, b), c);
  }
};
// By zero a GPU gives all ones; the least number over -1 is itself.
struct Divide {
  template <typename T>
  static T Apply(T a, T b) {
    if (b == 0) return static_cast<T>(~T{0});
    if (std::is_signed_v<T> && b == static_cast<T>(-1)) return Subtract::Apply<T>(0, a);
    return static_cast<T>(a / b);
  }
};
struct Remainder {
  template <typename T>
  static T Apply(T a, T b) {
    if (b == 0) return a;
    if (std::is_signed_v<T> && b == static_cast<T>(-1)) return 0;
    return static_cast<T>(a % b);
  }
};
struct Minimum {
  template <typename T>
  static T Apply(T a, T b) {
    return b < a ? b : a;
  }
};
struct Maximum {
  template <typename T>
  static T Apply(T a, T b) {
    return a < b ? b : a;
  }
};
struct Negate {
  template <typename T>
  static T Apply(T a) {
    return Subtract::Apply<T>(0, a);
  }
};
struct Absolute {
  template <typename T>
  static T Apply(T a) {
    return a < 0 ? Subtract::Apply<T>(0, a) : a;
  }
};

template <typename Op>
void BuildBinary(Decoder& d) {
  const Type type = d.TakeType();
  if (BuildFloat(d, type)) return;
  d.in.run =
      ByIntegerType(type, [](auto t) -> Handler { return Binary<decltype(t), decltype(t), Op>; });
  SameWidthOperands(d, type, 2);
}

template <typename Op>
void BuildUnary(Decoder& d) {
  const Type type = d.TakeType();
  if (BuildFloat(d, type)) return;
  d.in.run =
      ByIntegerType(type, [](auto t) -> Handler { return Unary<decltype(t), decltype(t), Op>; });
  SameWidthOperands(d, type, 1);
}

// mul and mad: which part of the product.
enum class Part { kLow, kHigh, kWide };
Part TakePart(Decoder& d) {
  const int part = d.op.TakeOneOf({"lo", "hi", "wide"});
  if (part < 0) d.Fail("lo, hi or wide is missing");
  return static_cast<Part>(part);
}

void BuildMul(Decoder& d) {
  const Type type = d.TakeType();
  if (BuildFloat(d, type)) return;
  const Part part = TakePart(d);
  d.in.run = ByIntegerType(type, [part](auto t) -> Handler {
    using T = decltype(t);
    if (part == Part::kLow) return Binary<T, T, MultiplyLow>;
    if (part == Part::kHigh) return Binary<T, T, MultiplyHigh>;
    if constexpr (sizeof(T) < 8) return Binary<Wide<T>, T, MultiplyWide>;
    return nullptr;
  });
  const std::size_t bytes = BytesOf(type);
  d.Dst(d.At(0), part == Part::kWide ? 2 * bytes : bytes);
  d.Src(d.At(1), bytes);
  d.Src(d.At(2), bytes);
}

void BuildMad(Decoder& d) {
  const Type type = d.TakeType();
  if (BuildFloat(d, type)) return;
  const Part part = TakePart(d);
  d.in.run = ByIntegerType(type, [part](auto t) -> Handler {
    using T = decltype(t);
    if (part == Part::kLow) return Ternary<T, T, MultiplyAdd<MultiplyLow>>;
    if (part == Part::kHigh) return Ternary<T, T, MultiplyAdd<MultiplyHigh>>;
    if constexpr (sizeof(T) < 8) return Ternary<Wide<T>, T, MultiplyAdd<MultiplyWide>>;
    return nullptr;
  });
  const std::size_t bytes = BytesOf(type);
  const std::size_t wide = part == Part::kWide ? 2 * bytes : bytes;
  d.Dst(d.At(0), wide);
  d.Src(d.At(1), bytes);
  d.Src(d.At(2), bytes);
  d.Src(d.At(3), wide);
}

}  // namespace

const BuilderTable& ArithmeticBuilders() {
  static const BuilderTable table = {{"add", BuildBinary<Add>},
                                     {"sub", BuildBinary<Subtract>},
                                     {"mul", BuildMul},
                                     {"mad", BuildMad},
                                     {"div", BuildBinary<Divide>},
                                     {"rem", BuildBinary<Remainder>},
                                     {"min", BuildBinary<Minimum>},
                                     {"max", BuildBinary<Maximum>},
                                     {"neg", BuildUnary<Negate>},
                                     {"abs", BuildUnary<Absolute>}};
  return table;
}

}  // namespace sequela::ptx
