// atom and red on integers, and the fences that make them order blocks.
#include <algorithm>
#include <cstring>

#include "tests/ptx/interpreter/access.h"
#include "tests/ptx/interpreter/lanes.h"

namespace sequela::ptx {
namespace {

enum Operation : std::uint8_t { kAdd, kMin, kMax, kAnd, kOr, kXor, kExch, kCas, kInc, kDec };

template <typename T>
T Update(Operation operation, T old, T a, T b) {
  switch (operation) {
    case kAdd:
      return static_cast<T>(static_cast<std::make_unsigned_t<T>>(old) +
                            static_cast<std::make_unsigned_t<T>>(a));
    case kMin:
      return std::min(old, a);
    case kMax:
      return std::max(old, a);
    case kAnd:
      return old & a;
    case kOr:
      return old | a;
    case kXor:
      return old ^ a;
    case kExch:
      return a;
    case kCas:
      return old == a ? b : old;
    case kInc:
      return old >= a ? T{0} : static_cast<T>(old + 1);
    case kDec:
      return old == 0 || old > a ? a : static_cast<T>(old - 1);
  }
  return old;
}

// Blocks are ordered by an atomic behind a fence and a later one on the same memory.
void OrderBlocks(Block& block, std::uint64_t address, bool fenced_before) {
  Launch& launch = block.launch;
  std::vector<bool>& released = launch.released[address];
  std::vector<bool>& acquired = launch.clocks.acquired;
  const std::size_t own = launch.clocks.block;
  acquired.resize(std::max({acquired.size(), released.size(), own + 1}));
  for (std::size_t i = 0; i < released.size(); ++i) {
    if (released[i] && !acquired[i]) {
      acquired[i] = true;
      ++launch.clocks.acquisitions;
    }
  }
  if (fenced_before) {
    released = acquired;
    released[own] = true;
  }
}

// in.form: the Operation. Threads in the order of their lanes.
template <typename T>
void Atomic(Warp& warp, const Instruction& in, std::uint32_t mask) {
  const bool fenced = warp.block->fenced || in.relaxed;
  for (std::uint32_t left = mask; left != 0; left &= left - 1) {
    const auto lane = static_cast<std::uint32_t>(__builtin_ctz(left));
    const std::uint64_t address = AddressOf(warp, in, lane);
    std::byte* place = Access(warp, lane, in.space, address, sizeof(T), Intent::kAtomic, lane);
    if (in.space != Space::kShared) OrderBlocks(*warp.block, address, fenced);
    T old;
    std::memcpy(&old, place, sizeof(T));
    const T a = warp.Lanes<T>(in.src[1])[lane];
    const T b = in.num_src > 2 ? T{warp.Lanes<T>(in.src[2])[lane]} : T{0};
    const T updated = Update(static_cast<Operation>(in.form), old, a, b);
    std::memcpy(place, &updated, sizeof(T));
    if (in.num_dst > 0) warp.Lanes<T>(in.dst[0])[lane] = old;
  }
  warp.block->fenced = fenced;
}

void Build(Decoder& d) {
  const bool returns = d.op.Root() == "atom";
  const int space = d.op.TakeOneOf({"global", "shared", "shared::cta"});
  const int order = d.op.TakeOneOf({"relaxed", "acquire", "release", "acq_rel"});
  d.in.relaxed = order >= 2;
  d.op.TakeOneOf({"cta", "gpu", "sys", "cluster"});
  const int operation =
      d.op.TakeOneOf({"add", "min", "max", "and", "or", "xor", "exch", "cas", "inc", "dec"});
  if (operation < 0) d.Fail("an operation is missing");
  d.in.form = static_cast<std::uint8_t>(operation);
  const Type type = d.TakeType();
  if (IsFloat(type)) d.Fail("floating-point atomics are refused: their order is anyone's");
  d.in.run = ByIntegerType(type, [](auto t) -> Handler { return Atomic<decltype(t)>; });
  const std::size_t bytes = BytesOf(type);
  std::size_t at = 0;
  if (returns) d.Dst(d.At(at++), bytes);
  d.Address(d.At(at++), space < 0 ? Space::kGeneric : space == 0 ? Space::kGlobal : Space::kShared);
  while (at < d.Operands().size()) d.Src(d.At(at++), bytes);
}

void Fence(Warp& warp, const Instruction&, std::uint32_t) { warp.block->fenced = true; }
// Between a thread's own writes and what products read.
void ProxyFence(Warp& warp, const Instruction&, std::uint32_t mask) {
  Block& block = *warp.block;
  ForLanes(mask, [&](std::uint32_t lane) {
    block.proxy.Fence(warp.index * kLanes + lane, block.launch.clocks.own[warp.index]);
  });
}

void BuildFence(Decoder& d) {
  if (d.op.Root() == "fence" && d.op.Take("proxy")) {
    if (!d.op.Take("async")) d.Fail("only .proxy.async is known");
    d.op.Take("shared::cta");
    d.in.run = ProxyFence;
    return;
  }
  d.op.TakeOneOf({"sc", "acq_rel", "acquire", "release"});
  if (d.op.TakeOneOf({"gl", "gpu", "sys", "cta", "cluster"}) < 0) d.Fail("an unknown scope");
  d.in.run = Fence;
}

}  // namespace

const BuilderTable& AtomicBuilders() {
  static const BuilderTable table = {
      {"atom", Build}, {"red", Build}, {"membar", BuildFence}, {"fence", BuildFence}};
  return table;
}

}  // namespace sequela::ptx
