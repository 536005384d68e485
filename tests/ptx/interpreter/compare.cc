// Comparisons and choices: setp, set, selp, slct.
#include "tests/ptx/interpreter/lanes.h"
#include "tests/ptx/interpreter/numbers.h"

namespace sequela::ptx {
namespace {

enum class Comparison : std::uint8_t {
  kEq,
  kNe,
  kLt,
  kLe,
  kGt,
  kGe,
  kEqu,
  kNeu,
  kLtu,
  kLeu,
  kGtu,
  kGeu,
  kNum,
  kNan,
};
template <typename T>
bool Holds(Comparison comparison, T a, T b) {
  const bool unordered = a != a || b != b;
  switch (comparison) {
    case Comparison::kEq:
      return a == b;
    case Comparison::kNe:
      return a != b && !unordered;
    case Comparison::kLt:
      return a < b;
    case Comparison::kLe:
      return a <= b;
    case Comparison::kGt:
      return a > b;
    case Comparison::kGe:
      return a >= b;
    case Comparison::kEqu:
      return a == b || unordered;
    case Comparison::kNeu:
      return a != b;
    case Comparison::kLtu:
      return a < b || unordered;
    case Comparison::kLeu:
      return a <= b || unordered;
    case Comparison::kGtu:
      return a > b || unordered;
    case Comparison::kGeu:
      return a >= b || unordered;
    case Comparison::kNum:
      return !unordered;
    case Comparison::kNan:
      return unordered;
  }
  return false;
}

Comparison TakeComparison(Decoder& d, Type type) {
  const int index = d.op.TakeOneOf(
      {"eq", "ne", "lt", "le", "gt", "ge", "equ", "neu", "ltu", "leu", "gtu", "geu", "num", "nan"});
  if (index >= 0) return static_cast<Comparison>(index);
  const int unsigned_index = d.op.TakeOneOf({"lo", "ls", "hi", "hs"});
  if (unsigned_index < 0 || IsFloat(type)) d.Fail("a comparison is missing");
  return static_cast<Comparison>(2 + unsigned_index);
}

// What lies in a register, and the value that is compared: 16-bit floating-point types as fp32.
template <typename T>
struct Compared {
  using Stored = T;
  static T Read(T stored) { return stored; }
};
struct Half {};
template <>
struct Compared<Half> {
  using Stored = std::uint16_t;
  static float Read(std::uint16_t bits) { return FromHalf(bits); }
};
struct Bfloat {};
template <>
struct Compared<Bfloat> {
  using Stored = std::uint16_t;
  static float Read(std::uint16_t bits) { return FromBf16(bits); }
};

// The threads for which the comparison in in.form holds. in.form2 bit 2: flush.
template <typename T>
std::uint32_t Compare(Warp& warp, const Instruction& in, std::uint32_t mask) {
  using Form = Compared<T>;
  using Value = decltype(Form::Read({}));
  const auto* a = warp.Lanes<typename Form::Stored>(in.src[0]);
  const auto* b = warp.Lanes<typename Form::Stored>(in.src[1]);
  const auto comparison = static_cast<Comparison>(in.form);
  std::uint32_t holds = 0;
  const auto gather = [&](auto compare) {
    ForLanes(mask, [&](std::uint32_t lane) {
      holds |= static_cast<std::uint32_t>(compare(Form::Read(a[lane]), Form::Read(b[lane])))
               << lane;
    });
    return holds;
  };
  if ((in.form2 & 4U) != 0) {
    if constexpr (std::is_same_v<Value, float>) {
      return gather([&](Value x, Value y) { return Holds(comparison, Flush(x), Flush(y)); });
    }
  }
  return gather([&](Value x, Value y) { return Holds(comparison, x, y); });
}

enum class Combination : std::uint8_t { kAnd, kOr, kXor, kNone };
std::uint32_t Combine(Combination combination, std::uint32_t a, std::uint32_t b) {
  switch (combination) {
    case Combination::kAnd:
      return a & b;
    case Combination::kOr:
      return a | b;
    case Combination::kXor:
      return a ^ b;
    case Combination::kNone:
      break;
  }
  return a;
}

// in.bytes: the Combination with the predicate in src[2]; in.is_signed: of its negation.
template <typename T>
void SetPredicate(Warp& warp, const Instruction& in, std::uint32_t mask) {
  const std::uint32_t holds = Compare<T>(warp, in, mask);
  const auto combination = static_cast<Combination>(in.bytes);
  std::uint32_t other = combination == Combination::kNone ? 0 : warp.Predicate(in.src[2]);
  if (in.is_signed) other = ~other;
  std::uint32_t& first = warp.Predicate(in.dst[0]);
  first = (first & ~mask) | (Combine(combination, holds, other) & mask);
  if (in.num_dst == 2) {
    std::uint32_t& second = warp.Predicate(in.dst[1]);
    second = (second & ~mask) | (Combine(combination, ~holds, other) & mask);
  }
}

// set: all ones or, where the result is fp32 (in.vector 2), 1.0.
template <typename T>
void Set(Warp& warp, const Instruction& in, std::uint32_t mask) {
  const std::uint32_t holds = Compare<T>(warp, in, mask);
  auto* d = warp.Lanes<std::uint32_t>(in.dst[0]);
  const std::uint32_t yes = in.vector == 2 ? 0x3f800000U : 0xffffffffU;
  ForLanes(mask, [=](std::uint32_t lane) { d[lane] = (holds >> lane & 1U) != 0 ? yes : 0; });
}

// Calls f with a value of the type that is compared.
template <typename F>
Handler ByComparedType(Decoder& d, Type type, F&& f) {
  switch (type) {
    case Type::kF32:
      return f(float{});
    case Type::kF64:
      return f(double{});
    case Type::kF16:
      return f(Half{});
    case Type::kBf16:
      return f(Bfloat{});
    default:
      break;
  }
  const Handler handler = ByIntegerType(type, f);
  if (handler == nullptr) d.Fail("not for this type");
  return handler;
}

void TakeForm(Decoder& d, Type type) {
  d.in.form = static_cast<std::uint8_t>(TakeComparison(d, type));
  if (d.op.Take("ftz")) d.in.form2 = 4;
}

void BuildSetp(Decoder& d) {
  const Type type = d.TakeType();
  TakeForm(d, type);
  const int combination = d.op.TakeOneOf({"and", "or", "xor"});
  d.in.bytes = static_cast<std::uint8_t>(combination < 0 ? 3 : combination);
  d.in.run = ByComparedType(d, type, [](auto t) -> Handler { return SetPredicate<decltype(t)>; });
  const Operand& to = d.At(0);
  if (to.kind == Operand::Kind::kPair) {
    d.Dst(to.elements[0], 1);
    d.Dst(to.elements[1], 1);
  } else {
    d.Dst(to, 1);
  }
  d.Src(d.At(1), BytesOf(type));
  d.Src(d.At(2), BytesOf(type));
  if (combination >= 0) {
    d.in.is_signed = d.At(3).negated;
    d.Src(d.At(3), 1);
  }
}

void BuildSet(Decoder& d) {
  const Type to = d.TakeType();
  const Type type = d.TakeType();
  TakeForm(d, type);
  if (BytesOf(to) != 4) d.Fail("only 32-bit results are understood");
  d.in.vector = to == Type::kF32 ? 2 : 1;
  d.in.run = ByComparedType(d, type, [](auto t) -> Handler { return Set<decltype(t)>; });
  d.Dst(d.At(0), 4);
  d.Src(d.At(1), BytesOf(type));
  d.Src(d.At(2), BytesOf(type));
}

template <typename T>
void Select(Warp& warp, const Instruction& in, std::uint32_t mask) {
  auto* d = warp.Lanes<T>(in.dst[0]);
  const auto* a = warp.Lanes<T>(in.src[0]);
  const auto* b = warp.Lanes<T>(in.src[1]);
  const std::uint32_t chosen = warp.Predicate(in.src[2]);
  ForLanes(mask,
           [=](std::uint32_t lane) { d[lane] = (chosen >> lane & 1U) != 0 ? a[lane] : b[lane]; });
}
template <typename T, typename C>
void SelectBySign(Warp& warp, const Instruction& in, std::uint32_t mask) {
  auto* d = warp.Lanes<T>(in.dst[0]);
  const auto* a = warp.Lanes<T>(in.src[0]);
  const auto* b = warp.Lanes<T>(in.src[1]);
  const auto* c = warp.Lanes<C>(in.src[2]);
  ForLanes(mask, [=](std::uint32_t lane) { d[lane] = c[lane] >= C{0} ? a[lane] : b[lane]; });
}

template <typename F>
Handler ByBytes(std::size_t bytes, F&& f) {
  if (bytes == 2) return f(std::uint16_t{});
  return bytes == 4 ? f(std::uint32_t{}) : f(std::uint64_t{});
}

void BuildSelp(Decoder& d) {
  const Type type = d.TakeType();
  d.in.run = ByBytes(BytesOf(type), [](auto t) -> Handler { return Select<decltype(t)>; });
  d.Dst(d.At(0), BytesOf(type));
  d.Src(d.At(1), BytesOf(type));
  d.Src(d.At(2), BytesOf(type));
  d.Src(d.At(3), 1);
}

void BuildSlct(Decoder& d) {
  const Type type = d.TakeType();
  const bool by_float = d.TakeType() == Type::kF32;
  d.in.run = ByBytes(BytesOf(type), [by_float](auto t) -> Handler {
    using T = decltype(t);
    return by_float ? Handler{SelectBySign<T, float>} : Handler{SelectBySign<T, std::int32_t>};
  });
  d.Dst(d.At(0), BytesOf(type));
  d.Src(d.At(1), BytesOf(type));
  d.Src(d.At(2), BytesOf(type));
  d.Src(d.At(3), 4);
}

}  // namespace

const BuilderTable& CompareBuilders() {
  static const BuilderTable table = {
      {"setp", BuildSetp}, {"set", BuildSet}, {"selp", BuildSelp}, {"slct", BuildSlct}};
  return table;
}

}  // namespace sequela::ptx
