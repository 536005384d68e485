// mov, with packing and unpacking of vectors, and cvta.
#include "tests/ptx/interpreter/lanes.h"

namespace sequela::ptx {
namespace {

template <typename T>
struct Copy {
  static T Apply(T a) { return a; }
};
void MovePredicate(Warp& warp, const Instruction& in, std::uint32_t mask) {
  std::uint32_t& d = warp.Predicate(in.dst[0]);
  d = (d & ~mask) | (warp.Predicate(in.src[0]) & mask);
}

// {a, b, ...} of Part into one Whole, the first lowest.
template <typename Whole, typename Part>
void Pack(Warp& warp, const Instruction& in, std::uint32_t mask) {
  auto* d = warp.Lanes<Whole>(in.dst[0]);
  ForLanes(mask, [&](std::uint32_t lane) {
    Whole whole = 0;
    for (std::size_t i = 0; i < in.num_src; ++i) {
      whole |= static_cast<Whole>(warp.Lanes<Part>(in.src[i])[lane]) << (8 * sizeof(Part) * i);
    }
    d[lane] = whole;
  });
}
template <typename Whole, typename Part>
void Unpack(Warp& warp, const Instruction& in, std::uint32_t mask) {
  const auto* a = warp.Lanes<Whole>(in.src[0]);
  ForLanes(mask, [&](std::uint32_t lane) {
    const Whole whole = a[lane];
    for (std::size_t i = 0; i < in.num_dst; ++i) {
      warp.Lanes<Part>(in.dst[i])[lane] = static_cast<Part>(whole >> (8 * sizeof(Part) * i));
    }
  });
}

Handler PackingHandler(std::size_t whole, std::size_t parts, bool packs) {
  if (whole == 4 && parts == 2) {
    return packs ? Pack<std::uint32_t, std::uint16_t> : Unpack<std::uint32_t, std::uint16_t>;
  }
  if (whole == 8 && parts == 2) {
    return packs ? Pack<std::uint64_t, std::uint32_t> : Unpack<std::uint64_t, std::uint32_t>;
  }
  if (whole == 8 && parts == 4) {
    return packs ? Pack<std::uint64_t, std::uint16_t> : Unpack<std::uint64_t, std::uint16_t>;
  }
  return nullptr;
}

Handler CopyHandler(std::size_t bytes) {
  if (bytes == 1) return MovePredicate;
  if (bytes == 2) return Unary<std::uint16_t, std::uint16_t, Copy<std::uint16_t>>;
  if (bytes == 4) return Unary<std::uint32_t, std::uint32_t, Copy<std::uint32_t>>;
  return Unary<std::uint64_t, std::uint64_t, Copy<std::uint64_t>>;
}

void BuildMov(Decoder& d) {
  const Type type = d.TakeType();
  const std::size_t bytes = BytesOf(type);
  const Operand& to = d.At(0);
  const Operand& from = d.At(1);
  d.in.moves = true;
  if (from.kind == Operand::Kind::kVector || to.kind == Operand::Kind::kVector) {
    const bool packs = from.kind == Operand::Kind::kVector;
    const std::size_t parts = (packs ? from : to).elements.size();
    d.in.run = PackingHandler(bytes, parts, packs);
    if (d.in.run == nullptr) d.Fail("an unknown shape of a vector");
    d.DstVector(to, packs ? bytes : bytes / parts);
    d.SrcVector(from, packs ? bytes / parts : bytes);
    return;
  }
  d.in.run = CopyHandler(bytes);
  d.Dst(to, bytes);
  d.Src(from, bytes);
}

// in.immediate: the window's base, added (cvta) or taken away (cvta.to).
void AddWindow(Warp& warp, const Instruction& in, std::uint32_t mask) {
  auto* d = warp.Lanes<std::uint64_t>(in.dst[0]);
  const auto* a = warp.Lanes<std::uint64_t>(in.src[0]);
  const auto base = static_cast<std::uint64_t>(in.immediate);
  ForLanes(mask, [=](std::uint32_t lane) { d[lane] = a[lane] + base; });
}

void BuildCvta(Decoder& d) {
  if (d.TakeType() != Type::kU64) d.Fail("addresses have 64 bits");
  const bool to_space = d.op.Take("to");
  const int space = d.op.TakeOneOf({"global", "const", "shared", "local", "param", "shared::cta"});
  constexpr std::uint64_t kWindows[] = {
      0, 0, kSharedWindow, kLocalWindow, kParamWindow, kSharedWindow};
  if (space < 0) d.Fail("a space is missing");
  const std::uint64_t window = kWindows[space];
  d.in.immediate = static_cast<std::int64_t>(to_space ? 0 - window : window);
  d.in.run = AddWindow;
  SameWidthOperands(d, Type::kU64, 1);
}

}  // namespace

const BuilderTable& MoveBuilders() {
  static const BuilderTable table = {{"mov", BuildMov}, {"cvta", BuildCvta}};
  return table;
}

}  // namespace sequela::ptx
