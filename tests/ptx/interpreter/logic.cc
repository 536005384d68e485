// Logic and shifts.
#include <type_traits>

#include "tests/ptx/interpreter/lanes.h"

namespace sequela::ptx {
namespace {

struct And {
  template <typename T>
  static T Apply(T a, T b) {
    return a & b;
  }
};
struct Or {
  template <typename T>
  static T Apply(T a, T b) {
    return a | b;
  }
};
struct Xor {
  template <typename T>
  static T Apply(T a, T b) {
    return a ^ b;
  }
};
struct Not {
  template <typename T>
  static T Apply(T a) {
    return static_cast<T>(~a);
  }
};
struct ShiftLeft {
  template <typename T>
  static T Apply(T a, std::uint32_t by) {
    return by >= 8 * sizeof(T) ? T{0}
                               : static_cast<T>(static_cast<std::make_unsigned_t<T>>(a) << by);
  }
};
struct ShiftRight {
  template <typename T>
  static T Apply(T a, std::uint32_t by) {
    return static_cast<T>(by >= 8 * sizeof(T) ? (a < 0 ? T(-1) : T{0}) : a >> by);
  }
};

template <typename Op>
void PredicateLogic(Warp& warp, const Instruction& in, std::uint32_t mask) {
  const std::uint32_t a = warp.Predicate(in.src[0]);
  const std::uint32_t b = warp.Predicate(in.src[1]);
  std::uint32_t& d = warp.Predicate(in.dst[0]);
  d = (d & ~mask) | (Op::template Apply<std::uint32_t>(a, b) & mask);
}
void PredicateNot(Warp& warp, const Instruction& in, std::uint32_t mask) {
  const std::uint32_t a = warp.Predicate(in.src[0]);
  std::uint32_t& d = warp.Predicate(in.dst[0]);
  d = (d & ~mask) | (~a & mask);
}

template <typename Op>
void BuildLogic(Decoder& d) {
  const Type type = d.TakeType();
  d.in.run = type == Type::kPred ? Handler{PredicateLogic<Op>}
                                 : ByIntegerType(type, [](auto t) -> Handler {
                                     return Binary<decltype(t), decltype(t), Op>;
                                   });
  SameWidthOperands(d, type, 2);
}
void BuildNot(Decoder& d) {
  const Type type = d.TakeType();
  d.in.run =
      type == Type::kPred ? Handler{PredicateNot} : ByIntegerType(type, [](auto t) -> Handler {
        return Unary<decltype(t), decltype(t), Not>;
      });
  SameWidthOperands(d, type, 1);
}
template <typename Op>
void BuildShift(Decoder& d) {
  const Type type = d.TakeType();
  d.in.run = ByIntegerType(type, [](auto t) -> Handler { return Shift<decltype(t), Op>; });
  d.Dst(d.At(0), BytesOf(type));
  d.Src(d.At(1), BytesOf(type));
  d.Src(d.At(2), 4);
}

}  // namespace

const BuilderTable& LogicBuilders() {
  static const BuilderTable table = {
      {"and", BuildLogic<And>}, {"or", BuildLogic<Or>},         {"xor", BuildLogic<Xor>},
      {"not", BuildNot},        {"shl", BuildShift<ShiftLeft>}, {"shr", BuildShift<ShiftRight>}};
  return table;
}

}  // namespace sequela::ptx
