// Handlers made of a function of one thread's values.
#pragma once

#include "tests/ptx/interpreter/decoder.h"
#include "tests/ptx/interpreter/machine.h"

namespace sequela::ptx {

template <typename D, typename A, typename Op>
void Unary(Warp& warp, const Instruction& in, std::uint32_t mask) {
  auto* d = warp.Lanes<D>(in.dst[0]);
  const auto* a = warp.Lanes<A>(in.src[0]);
  ForLanes(mask, [=](std::uint32_t lane) { d[lane] = Op::Apply(static_cast<A>(a[lane])); });
}

template <typename D, typename A, typename Op>
void Binary(Warp& warp, const Instruction& in, std::uint32_t mask) {
  auto* d = warp.Lanes<D>(in.dst[0]);
  const auto* a = warp.Lanes<A>(in.src[0]);
  const auto* b = warp.Lanes<A>(in.src[1]);
  ForLanes(mask, [=](std::uint32_t lane) {
    d[lane] = Op::Apply(static_cast<A>(a[lane]), static_cast<A>(b[lane]));
  });
}

// As PTX's shifts and bit fields: the second operand has 32 bits.
template <typename T, typename Op>
void Shift(Warp& warp, const Instruction& in, std::uint32_t mask) {
  auto* d = warp.Lanes<T>(in.dst[0]);
  const auto* a = warp.Lanes<T>(in.src[0]);
  const auto* b = warp.Lanes<std::uint32_t>(in.src[1]);
  ForLanes(mask, [=](std::uint32_t lane) {
    d[lane] = Op::Apply(static_cast<T>(a[lane]), static_cast<std::uint32_t>(b[lane]));
  });
}

// C: the type of the third operand and of the result, as in mad.wide.
template <typename C, typename A, typename Op>
void Ternary(Warp& warp, const Instruction& in, std::uint32_t mask) {
  auto* d = warp.Lanes<C>(in.dst[0]);
  const auto* a = warp.Lanes<A>(in.src[0]);
  const auto* b = warp.Lanes<A>(in.src[1]);
  const auto* c = warp.Lanes<C>(in.src[2]);
  ForLanes(mask, [=](std::uint32_t lane) {
    d[lane] = Op::Apply(static_cast<A>(a[lane]), static_cast<A>(b[lane]), static_cast<C>(c[lane]));
  });
}

// The type's operands: a destination and all else sources, all as wide as `type`.
inline void SameWidthOperands(Decoder& d, Type type, std::size_t sources) {
  if (d.Operands().size() != sources + 1) d.Fail("another number of operands is wanted");
  d.Dst(d.At(0), BytesOf(type));
  for (std::size_t i = 1; i <= sources; ++i) d.Src(d.At(i), BytesOf(type));
}

// Calls f with a zero of the integer type; null for any other type.
template <typename F>
Handler ByIntegerType(Type type, F&& f) {
  switch (type) {
    case Type::kU16:
    case Type::kB16:
      return f(std::uint16_t{});
    case Type::kS16:
      return f(std::int16_t{});
    case Type::kU32:
    case Type::kB32:
      return f(std::uint32_t{});
    case Type::kS32:
      return f(std::int32_t{});
    case Type::kU64:
    case Type::kB64:
      return f(std::uint64_t{});
    case Type::kS64:
      return f(std::int64_t{});
    default:
      return nullptr;
  }
}

// Floating-point forms of opcodes that integers have too; false where `type` is none.
bool BuildFloat(Decoder& d, Type type);

}  // namespace sequela::ptx
