// ld and st of every space, single and by vectors.
#include <array>
#include <cstring>

#include "tests/ptx/interpreter/access.h"
#include "tests/ptx/interpreter/lanes.h"

namespace sequela::ptx {
namespace {

constexpr std::size_t kMostBytes = 32;

bool CountsAsShared(const Instruction& in, std::uint64_t address) {
  return in.space == Space::kShared ||
         (in.space == Space::kGeneric && (address & kWindowMask) == kSharedWindow);
}
bool CountsAsGlobal(const Instruction& in, std::uint64_t address) {
  return in.space == Space::kGlobal ||
         (in.space == Space::kGeneric && (address & kWindowMask) == 0);
}

// The addresses of a warp's threads, counted.
std::array<std::uint64_t, kLanes> Addresses(Warp& warp, const Instruction& in, std::uint32_t mask,
                                            std::int64_t KernelCounts::*global_bytes) {
  std::array<std::uint64_t, kLanes> addresses{};
  ForLanes(mask, [&](std::uint32_t lane) { addresses[lane] = AddressOf(warp, in, lane); });
  const std::size_t bytes = std::size_t{in.bytes} * in.vector;
  KernelCounts& counts = warp.block->launch.counts;
  const std::uint64_t first = addresses[static_cast<std::size_t>(__builtin_ctz(mask))];
  if (CountsAsShared(in, first)) CountBanks(counts, addresses, mask, bytes);
  if (CountsAsGlobal(in, first)) {
    counts.*global_bytes += static_cast<std::int64_t>(bytes) * __builtin_popcount(mask);
  }
  return addresses;
}

// One element into a register that may be wider: extended by its sign or zeros.
template <typename Register>
void PutElement(Warp& warp, const Instruction& in, std::size_t element, std::uint32_t lane,
                const std::byte* from) {
  std::uint64_t bits = 0;
  std::memcpy(&bits, from, in.bytes);
  if (in.is_signed) {
    const int unused = 64 - 8 * in.bytes;
    bits = static_cast<std::uint64_t>(static_cast<std::int64_t>(bits << unused) >> unused);
  }
  warp.Lanes<Register>(in.dst[element])[lane] = static_cast<Register>(bits);
}

template <typename Register>
void Load(Warp& warp, const Instruction& in, std::uint32_t mask) {
  const auto addresses = Addresses(warp, in, mask, &KernelCounts::global_bytes_read);
  const std::size_t bytes = std::size_t{in.bytes} * in.vector;
  const Intent intent = in.relaxed ? Intent::kAtomic : Intent::kRead;
  ForLanes(mask, [&](std::uint32_t lane) {
    const std::byte* from = Access(warp, lane, in.space, addresses[lane], bytes, intent, lane);
    for (std::size_t i = 0; i < in.vector; ++i) {
      PutElement<Register>(warp, in, i, lane, from + i * in.bytes);
    }
  });
}

template <typename Register>
void StoreLanes(Warp& warp, const Instruction& in, std::uint32_t mask) {
  const auto addresses = Addresses(warp, in, mask, &KernelCounts::global_bytes_written);
  const std::size_t bytes = std::size_t{in.bytes} * in.vector;
  ForLanes(mask, [&](std::uint32_t lane) {
    std::array<std::byte, kMostBytes> value;
    for (std::size_t i = 0; i < in.vector; ++i) {
      const Register element = warp.Lanes<Register>(in.src[i + 1])[lane];
      std::memcpy(value.data() + i * in.bytes, &element, in.bytes);
    }
    if (in.relaxed) {
      std::memcpy(Access(warp, lane, in.space, addresses[lane], bytes, Intent::kAtomic, lane),
                  value.data(), bytes);
    } else {
      Store(warp, lane, mask, in.space, addresses[lane], bytes, value.data());
    }
  });
}

Handler ByWidth(std::size_t width, Handler two, Handler four, Handler eight) {
  return width == 2 ? two : width == 4 ? four : eight;
}

Space TakeSpace(Decoder& d) {
  const int space = d.op.TakeOneOf({"global", "const", "shared", "local", "param", "shared::cta"});
  constexpr Space kSpaces[] = {Space::kGlobal, Space::kConst, Space::kShared,
                               Space::kLocal,  Space::kParam, Space::kShared};
  return space < 0 ? Space::kGeneric : kSpaces[space];
}

// The modifiers that loads and stores share; gives the element's type.
Type TakeForm(Decoder& d) {
  d.op.DropHints();
  d.in.space = TakeSpace(d);
  const bool weak = d.op.Take("weak");
  const int order = d.op.TakeOneOf({"volatile", "relaxed", "acquire", "release"});
  d.op.TakeOneOf({"cta", "gpu", "sys", "cluster"});
  d.in.relaxed = order >= 0 && !weak && d.in.space != Space::kLocal;
  const int vector = d.op.TakeOneOf({"v2", "v4", "v8"});
  d.in.vector = static_cast<std::uint8_t>(vector < 0 ? 1 : 2 << vector);
  const Type type = d.TakeType();
  d.in.bytes = static_cast<std::uint8_t>(BytesOf(type));
  d.in.is_signed = IsSigned(type);
  if (std::size_t{d.in.bytes} * d.in.vector > kMostBytes) d.Fail("too wide");
  return type;
}

// The width of the registers of a vector or a scalar: at least the element's.
std::size_t RegistersWidth(Decoder& d, const Operand& operand) {
  std::size_t width = 0;
  const auto widen = [&](const Operand& one) {
    if (one.name != "_") width = std::max(width, d.WidthOf(one));
  };
  if (operand.kind == Operand::Kind::kVector) {
    for (const Operand& element : operand.elements) widen(element);
  } else {
    widen(operand);
  }
  if (width == 0) width = std::max<std::size_t>(d.in.bytes, 2);  // a number
  if (width < d.in.bytes) d.Fail("the register is too narrow");
  return width;
}

void BuildLd(Decoder& d) {
  TakeForm(d);
  const std::size_t width = RegistersWidth(d, d.At(0));
  d.in.run = ByWidth(width, Load<std::uint16_t>, Load<std::uint32_t>, Load<std::uint64_t>);
  d.Address(d.At(1), d.in.space);
  d.DstVector(d.At(0), width);
  if (d.in.num_dst != d.in.vector) d.Fail("another number of registers is wanted");
}

void BuildSt(Decoder& d) {
  TakeForm(d);
  const std::size_t width = RegistersWidth(d, d.At(1));
  d.in.run = ByWidth(width, StoreLanes<std::uint16_t>, StoreLanes<std::uint32_t>,
                     StoreLanes<std::uint64_t>);
  d.Address(d.At(0), d.in.space);
  d.SrcVector(d.At(1), width);
  if (d.in.num_src != d.in.vector + 1) d.Fail("another number of registers is wanted");
}

void Nothing(Warp&, const Instruction&, std::uint32_t) {}
void BuildPrefetch(Decoder& d) {
  d.op.DropHints();
  TakeSpace(d);
  d.op.TakeOneOf({"L1", "L2"});
  d.in.run = Nothing;
}

}  // namespace

const BuilderTable& MemoryBuilders() {
  static const BuilderTable table = {
      {"ld", BuildLd}, {"ldu", BuildLd}, {"st", BuildSt}, {"prefetch", BuildPrefetch}};
  return table;
}

}  // namespace sequela::ptx
