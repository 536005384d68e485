// wgmma. A product's terms are exact; they are added in fp32 in the order of k. It is computed as
// it is issued or only at the wait for it (Launch::latest), and reads shared memory all that while.
#include "tests/ptx/interpreter/warpgroup.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "tests/ptx/interpreter/access.h"
#include "tests/ptx/interpreter/descriptor.h"
#include "tests/ptx/interpreter/lanes.h"
#include "tests/ptx/interpreter/numbers.h"

namespace sequela::ptx {
namespace {

constexpr std::size_t kM = 16;  // a warp's rows
constexpr std::uint64_t kMOfGroup = kM * kWarpsOfGroup;
constexpr std::size_t kMostN = 256;
constexpr std::size_t kK = 16;
constexpr std::size_t kColumns = 8;  // that four registers of D cover

using FourFloats = float __attribute__((vector_size(16)));
// Operands by k, the result by row.
struct Tiles {
  float a[kK][kM];
  union {
    float b[kK][kMostN];
    FourFloats b_fours[kK][kMostN / 4];
  };
  union {
    float d[kM][kMostN];
    FourFloats d_fours[kM][kMostN / 4];
  };
};

const Product& ProductOf(const Warp& warp, const Instruction& in) {
  return warp.program->products[in.target];
}

float ElementOf(const Product& product, std::uint16_t bits, bool negate) {
  const float value = product.half ? FromHalf(bits) : FromBf16(bits);
  return negate ? -value : value;
}

// Rows first_row and up of a matrix: to[k * pitch + row].
void LoadShared(Warp& warp, const Product& product, const MatrixDescriptor& matrix, bool mn_major,
                bool negate, std::size_t first_row, std::size_t rows, float* to,
                std::size_t pitch) {
  const std::byte* memory = warp.block->shared.begin;
  std::uint16_t elements[8];
  for (std::size_t i = 0; i < (mn_major ? kK : rows); ++i) {
    for (std::size_t piece = 0; piece < (mn_major ? rows / 8 : kK / 8); ++piece) {
      const std::uint64_t address =
          mn_major ? matrix.MnMajor(i, first_row / 8 + piece) : matrix.KMajor(first_row + i, piece);
      std::memcpy(elements, memory + address, sizeof(elements));
      for (std::size_t j = 0; j < 8; ++j) {
        const std::size_t k = mn_major ? i : 8 * piece + j;
        const std::size_t row = mn_major ? 8 * piece + j : i;
        to[k * pitch + row] = ElementOf(product, elements[j], negate);
      }
    }
  }
}

// A as mma.m16n8k16 has it.
void LoadRegisters(Warp& warp, const Product& product, Tiles& tiles) {
  for (std::size_t i = 0; i < product.a.size(); ++i) {
    const auto* bits = warp.Lanes<std::uint32_t>(product.a[i]);
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      for (std::size_t j = 0; j < 2; ++j) {
        tiles.a[lane % 4 * 2 + j + 8 * (i / 2)][lane / 4 + 8 * (i % 2)] = ElementOf(
            product, static_cast<std::uint16_t>(bits[lane] >> (16 * j)), product.negate_a);
      }
    }
  }
}

// Calls f with a register of D, a lane and the element it holds there.
template <typename F>
void ForResult(Warp& warp, const Product& product, Tiles& tiles, F&& f) {
  for (std::size_t i = 0; i < product.d.size(); ++i) {
    auto* values = warp.Lanes<float>(product.d[i]);
    float* elements = tiles.d[i % 4 / 2 * 8] + i / 4 * kColumns + i % 2;
    for (std::size_t row = 0; row < 8; ++row) {
      for (std::size_t pair = 0; pair < 4; ++pair) {
        f(values[4 * row + pair], elements[row * kMostN + 2 * pair]);
      }
    }
  }
}

void Multiply(Tiles& tiles, std::size_t n) {
  for (std::size_t row = 0; row < kM; ++row) {
    for (std::size_t four = 0; four < n / 4; four += 2) {
      FourFloats left = tiles.d_fours[row][four];
      FourFloats right = tiles.d_fours[row][four + 1];
      for (std::size_t k = 0; k < kK; ++k) {
        left += tiles.a[k][row] * tiles.b_fours[k][four];
        right += tiles.a[k][row] * tiles.b_fours[k][four + 1];
      }
      tiles.d_fours[row][four] = left;
      tiles.d_fours[row][four + 1] = right;
    }
  }
}

void Compute(Warp& warp, const PendingProduct& pending) {
  const Product& product = ProductOf(warp, *pending.in);
  static Tiles tiles;
  if (product.a.empty()) {
    LoadShared(warp, product, MatrixDescriptor(pending.a), product.m_major_a, product.negate_a,
               warp.index % kWarpsOfGroup * kM, kM, tiles.a[0], kM);
  } else {
    LoadRegisters(warp, product, tiles);
  }
  LoadShared(warp, product, MatrixDescriptor(pending.b), product.n_major_b, product.negate_b, 0,
             product.n, tiles.b[0], kMostN);
  ForResult(warp, product, tiles, [adds = pending.adds](const auto& value, float& element) {
    element = adds ? value : 0.0F;
  });
  Multiply(tiles, product.n);
  ForResult(warp, product, tiles,
            [](auto& value, float element) { value = CanonicalNan(element); });
  warp.block->launch.counts.matrix_products += static_cast<std::int64_t>(product.n / kColumns);
}

// Every piece of shared memory that the warpgroup's product reads. PTX does not say which warp
// reads what of A: all of it counts as read by each.
template <typename F>
void ForPieces(const Product& product, const PendingProduct& pending, F&& f) {
  if (product.a.empty()) {
    MatrixDescriptor(pending.a).ForPieces(product.m_major_a, kMOfGroup, f);
  }
  MatrixDescriptor(pending.b).ForPieces(product.n_major_b, product.n, f);
}

void CheckRead(Warp& warp, std::uint64_t address) {
  Access(warp, 0, Space::kShared, address, AsyncProxy::kPiece, Intent::kRead, kAllLanes);
}

void BeginReads(Warp& warp, const Product& product, const PendingProduct& pending) {
  Block& block = *warp.block;
  ForPieces(product, pending, [&](std::uint64_t address) {
    CheckRead(warp, address);
    const auto writer = block.proxy.Unseen(address, warp.index, block.launch.clocks);
    if (writer) {
      Fault(warp, 0,
            fmt::format("a product reads shared memory at {:#x}, which thread {} wrote without a "
                        "fence.proxy.async before what orders the two",
                        address, *writer));
    }
    block.proxy.Hold(address);
  });
}

// The oldest pending product is over. Whoever wrote what it reads must not have done so since it
// was issued, nor may anybody until he has heard of this moment.
void Finish(Warp& warp) {
  const PendingProduct pending = warp.products.pending.front();
  const Product& product = ProductOf(warp, *pending.in);
  Block& block = *warp.block;
  const Instruction* const current = std::exchange(warp.current, pending.in);
  const bool clock_moved = block.launch.clocks.own[warp.index] != pending.step;
  ForPieces(product, pending, [&](std::uint64_t address) {
    if (clock_moved) CheckRead(warp, address);
    block.proxy.Release(address);
  });
  if (block.launch.latest) Compute(warp, pending);
  warp.current = current;
  warp.products.pending.pop_front();
  ++warp.products.finished;
}

// What all four warps must do alike.
void CheckSequence(Warp& warp, const WarpgroupStep& step) {
  Block& block = *warp.block;
  if (warp.index / kWarpsOfGroup * kWarpsOfGroup + kWarpsOfGroup > block.warps.size()) {
    Fault(warp, 0, fmt::format("a warpgroup is 4 warps, and the block has {}", block.warps.size()));
  }
  std::vector<WarpgroupStep>& steps = block.warpgroup_steps[warp.index / kWarpsOfGroup];
  const std::size_t at = warp.products.steps++;
  if (at == steps.size()) {
    steps.push_back(step);
  } else if (steps[at].in != step.in) {
    Fault(
        warp, 0,
        fmt::format("another warp of its warpgroup executes line {} instead", steps[at].in->line));
  } else if (steps[at] != step) {
    Fault(warp, 0, "another warp of its warpgroup gives another descriptor or scale-d");
  }
}

// The value that all lanes hold.
std::uint64_t Uniform(Warp& warp, Slot slot) {
  const auto* values = warp.Lanes<std::uint64_t>(slot);
  for (std::uint32_t lane = 1; lane < kLanes; ++lane) {
    if (values[lane] != values[0]) Fault(warp, lane, "the threads' descriptors differ");
  }
  return values[0];
}
std::uint64_t Descriptor(Warp& warp, Slot slot) {
  const std::uint64_t bits = Uniform(warp, slot);
  const std::string complaint = MatrixDescriptor::Complaint(bits);
  if (!complaint.empty()) Fault(warp, 0, complaint);
  return bits;
}
bool ScaleD(Warp& warp, const Instruction& in) {
  const std::uint32_t bits = warp.Predicate(in.src[1]);
  if (bits != 0 && bits != kFullMask) Fault(warp, 0, "the threads' scale-d differ");
  return (bits != 0) != in.is_signed;
}

std::string InUse(const Warp& warp, Slot slot) {
  const RegisterUse& use = warp.products.registers[slot];
  return fmt::format("{}, which the unfinished product of line {} {}", warp.program->names[slot],
                     use.in->line, use.accumulates ? "accumulates into" : "reads");
}

bool Busy(const Warp& warp, Slot slot) {
  return warp.products.registers[slot].product > warp.products.finished;
}

void CheckFenced(Warp& warp, Slot slot, bool accumulates) {
  const RegisterUse& use = warp.products.registers[slot];
  const std::uint32_t now = warp.products.fences;
  if (use.written == now || (accumulates && use.read == now)) {
    Fault(warp, 0,
          fmt::format("no wgmma.fence since {} was {}", warp.program->names[slot],
                      use.written == now ? "written" : "read"));
  }
}

void CheckAccumulator(Warp& warp, const Product& product, std::size_t place, bool adds) {
  const Slot slot = product.d[place];
  const RegisterUse& use = warp.products.registers[slot];
  if (Busy(warp, slot)) {  // products of the same shape follow each other
    if (use.accumulates && use.place == place && ProductOf(warp, *use.in).n == product.n) return;
    Fault(warp, 0, "accumulates into " + InUse(warp, slot));
  }
  CheckFenced(warp, slot, true);
  const std::uint32_t missing = adds ? ~warp.written[slot] : 0;
  if (missing != 0) {
    Fault(warp, static_cast<std::uint32_t>(__builtin_ctz(missing)),
          fmt::format("{} was never written", warp.program->names[slot]));
  }
}

void CheckFragment(Warp& warp, Slot slot) {
  if (Busy(warp, slot) && warp.products.registers[slot].accumulates) {
    Fault(warp, 0, "multiplies " + InUse(warp, slot));
  }
  CheckFenced(warp, slot, false);
  if (warp.written[slot] != kFullMask) {
    Fault(warp, static_cast<std::uint32_t>(__builtin_ctz(~warp.written[slot])),
          fmt::format("{} was never written", warp.program->names[slot]));
  }
}

// src: B's descriptor, scale-d, A's descriptor where it lies in shared memory.
void Issue(Warp& warp, const Instruction& in, std::uint32_t) {
  const Product& product = ProductOf(warp, in);
  WarpProducts& products = warp.products;
  PendingProduct pending{.in = &in,
                         .group = products.groups,
                         .step = warp.block->launch.clocks.own[warp.index],
                         .a = product.a.empty() ? Descriptor(warp, in.src[2]) : 0,
                         .b = Descriptor(warp, in.src[0]),
                         .adds = ScaleD(warp, in)};
  CheckSequence(warp, {&in, pending.a, pending.b, pending.adds});
  if (products.fences == 1) Fault(warp, 0, "no wgmma.fence before the first product");
  for (std::size_t i = 0; i < product.d.size(); ++i) {
    CheckAccumulator(warp, product, i, pending.adds);
  }
  for (const Slot slot : product.a) CheckFragment(warp, slot);
  BeginReads(warp, product, pending);
  if (!warp.block->launch.latest) Compute(warp, pending);
  products.pending.push_back(pending);
  const std::uint64_t number = products.finished + products.pending.size();
  for (const Slot slot : product.a) products.registers[slot] = {.product = number, .in = &in};
  for (std::size_t i = 0; i < product.d.size(); ++i) {
    products.registers[product.d[i]] = {
        .product = number, .in = &in, .accumulates = true, .place = i};
    warp.written[product.d[i]] = kFullMask;
  }
}

void Fence(Warp& warp, const Instruction& in, std::uint32_t) {
  CheckSequence(warp, {.in = &in});
  ++warp.products.fences;
}
void Commit(Warp& warp, const Instruction& in, std::uint32_t) {
  CheckSequence(warp, {.in = &in});
  ++warp.products.groups;
}
// All groups but the newest in.immediate are over.
void Wait(Warp& warp, const Instruction& in, std::uint32_t) {
  CheckSequence(warp, {.in = &in});
  WarpProducts& products = warp.products;
  const auto left = static_cast<std::uint32_t>(in.immediate);
  while (!products.pending.empty() && products.pending.front().group + left < products.groups) {
    Finish(warp);
  }
}

// 1 or -1: whether it is -1.
bool Negates(Decoder& d, const Operand& operand) {
  const auto value = static_cast<std::int64_t>(operand.value);
  if (operand.kind != Operand::Kind::kInteger || (value != 1 && value != -1)) {
    d.Fail("1 or -1 is wanted");
  }
  return value == -1;
}
bool Transposes(Decoder& d, const Operand& operand) {
  if (operand.kind != Operand::Kind::kInteger || operand.value > 1) d.Fail("0 or 1 is wanted");
  return operand.value == 1;
}

std::uint16_t TakeN(Decoder& d) {
  for (std::uint16_t n = 8; n <= kMostN; n += 8) {
    if (d.op.Take(fmt::format("m64n{}k16", n))) return n;
  }
  d.Fail("an unknown shape");
}

void BuildProduct(Decoder& d) {
  if (!d.op.Take("sync") || !d.op.Take("aligned")) d.Fail("an unknown form");
  Product product{.n = TakeN(d)};
  const Type to = d.TakeType();
  const Type a = d.TakeType();
  const Type b = d.TakeType();
  if (to != Type::kF32 || a != b || (a != Type::kBf16 && a != Type::kF16)) d.Fail("unknown types");
  product.half = a == Type::kF16;
  product.d = d.Registers(d.At(0), 4);
  const bool in_registers = d.At(1).kind == Operand::Kind::kVector;
  if (in_registers) product.a = d.Registers(d.At(1), 4);
  if (product.d.size() != product.n / 2U || (in_registers && product.a.size() != 4)) {
    d.Fail("another number of registers is wanted");
  }
  std::vector<Slot> all = product.d;
  all.insert(all.end(), product.a.begin(), product.a.end());
  std::sort(all.begin(), all.end());
  const auto twice = std::adjacent_find(all.begin(), all.end());
  const bool in_d = twice != all.end() &&
                    std::find(product.d.begin(), product.d.end(), *twice) != product.d.end();
  if (in_d) d.Fail("a register of D stands twice");
  d.Src(d.At(2), 8);
  d.in.is_signed = d.At(3).negated;
  d.Src(d.At(3), 1);
  if (!in_registers) d.Src(d.At(1), 8);
  product.negate_a = Negates(d, d.At(4));
  product.negate_b = Negates(d, d.At(5));
  std::size_t at = 6;
  if (!in_registers) product.m_major_a = Transposes(d, d.At(at++));
  product.n_major_b = Transposes(d, d.At(at++));
  if (d.Operands().size() != at) d.Fail("another number of operands is wanted");
  d.AddProduct(std::move(product));
  d.in.run = Issue;
}

void Build(Decoder& d) {
  d.in.control = Control::kWholeWarp;
  d.in.async = true;
  if (d.op.Take("mma_async")) return BuildProduct(d);
  const int form = d.op.TakeOneOf({"fence", "commit_group", "wait_group"});
  if (form < 0 || !d.op.Take("sync") || !d.op.Take("aligned")) d.Fail("an unknown form");
  constexpr Handler kHandlers[] = {Fence, Commit, Wait};
  d.in.run = kHandlers[form];
  if (form == 2) d.in.immediate = static_cast<std::int64_t>(d.At(0).value);
}

}  // namespace

void StartProducts(Warp& warp) {
  warp.products = {};
  if (!warp.program->products.empty()) warp.products.registers.resize(warp.program->slots);
}

void TouchRegisters(Warp& warp, const Instruction& in, std::uint32_t mask) {
  const auto lane = static_cast<std::uint32_t>(__builtin_ctz(mask));
  WarpProducts& products = warp.products;
  for (std::size_t i = 0; i < in.num_src; ++i) {
    if (Busy(warp, in.src[i])) Fault(warp, lane, "reads " + InUse(warp, in.src[i]));
    products.registers[in.src[i]].read = products.fences;
  }
  for (std::size_t i = 0; i < in.num_dst; ++i) {
    if (Busy(warp, in.dst[i])) Fault(warp, lane, "writes " + InUse(warp, in.dst[i]));
    products.registers[in.dst[i]].written = products.fences;
  }
}

void CheckProductsOver(const Warp& warp) {
  if (warp.products.pending.empty()) return;
  Fault(warp, 0,
        fmt::format("exits before the product of line {} is over: no wgmma.wait_group for it",
                    warp.products.pending.front().in->line));
}

void CheckWarpgroups(const Block& block) {
  for (const Warp& warp : block.warps) {
    const auto& steps = block.warpgroup_steps[warp.index / kWarpsOfGroup];
    if (warp.products.steps == steps.size()) continue;
    Fault(warp, 0,
          fmt::format("exits where another warp of its warpgroup executes line {}",
                      steps[warp.products.steps].in->line));
  }
}

const BuilderTable& WarpgroupBuilders() {
  static const BuilderTable table = {{"wgmma", Build}};
  return table;
}

}  // namespace sequela::ptx
