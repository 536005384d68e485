// ldmatrix and mma.sync. A product's terms are exact; they are added in fp32 in the order of k.
#include <array>
#include <cstring>

#include "tests/ptx/interpreter/access.h"
#include "tests/ptx/interpreter/lanes.h"
#include "tests/ptx/interpreter/numbers.h"

namespace sequela::ptx {
namespace {

constexpr std::size_t kRows = 8;  // of 8 elements of 16 bits

// in.vector matrices; in.form 1: transposed. Row r of matrix m is at the address of thread 8 m + r.
void LoadMatrices(Warp& warp, const Instruction& in, std::uint32_t mask) {
  std::array<std::uint64_t, kLanes> addresses{};
  const std::uint32_t used = in.vector * kRows;
  for (std::uint32_t lane = 0; lane < used; ++lane) addresses[lane] = AddressOf(warp, in, lane);
  CountBanks(warp.block->launch.counts, addresses, used == kLanes ? mask : (1U << used) - 1, 16);
  for (std::size_t matrix = 0; matrix < in.vector; ++matrix) {
    std::uint16_t elements[kRows][kRows];
    for (std::uint32_t row = 0; row < kRows; ++row) {
      const auto lane = static_cast<std::uint32_t>(matrix * kRows) + row;
      const std::byte* from =
          Access(warp, lane, in.space, addresses[lane], 16, Intent::kRead, kAllLanes);
      std::memcpy(elements[row], from, 16);
    }
    auto* d = warp.Lanes<std::uint32_t>(in.dst[matrix]);
    for (std::uint32_t lane = 0; lane < kLanes; ++lane) {
      const std::uint32_t row = lane / 4;
      const std::uint32_t column = lane % 4 * 2;
      const std::uint32_t low = in.form == 1 ? elements[column][row] : elements[row][column];
      const std::uint32_t high =
          in.form == 1 ? elements[column + 1][row] : elements[row][column + 1];
      d[lane] = low | high << 16;
    }
  }
}

// stmatrix: the other way.
void StoreMatrices(Warp& warp, const Instruction& in, std::uint32_t mask) {
  std::array<std::uint64_t, kLanes> addresses{};
  const std::uint32_t used = in.vector * kRows;
  for (std::uint32_t lane = 0; lane < used; ++lane) addresses[lane] = AddressOf(warp, in, lane);
  CountBanks(warp.block->launch.counts, addresses, used == kLanes ? mask : (1U << used) - 1, 16);
  for (std::uint32_t matrix = 0; matrix < in.vector; ++matrix) {
    std::uint16_t elements[kRows][kRows];
    const auto* a = warp.Lanes<std::uint32_t>(in.src[matrix + 1]);
    for (std::uint32_t lane = 0; lane < kLanes; ++lane) {
      for (std::uint32_t i = 0; i < 2; ++i) {
        const std::uint32_t row = lane / 4;
        const std::uint32_t column = lane % 4 * 2 + i;
        const auto value = static_cast<std::uint16_t>(a[lane] >> (16 * i));
        (in.form == 1 ? elements[column][row] : elements[row][column]) = value;
      }
    }
    for (std::uint32_t row = 0; row < kRows; ++row) {
      const std::uint32_t lane = matrix * kRows + row;
      std::memcpy(Access(warp, lane, in.space, addresses[lane], 16, Intent::kWrite, kAllLanes),
                  elements[row], 16);
    }
  }
}

// ldmatrix and stmatrix.
void BuildMoveOfMatrices(Decoder& d) {
  const bool stores = d.op.Root() == "stmatrix";
  const int count = d.op.TakeOneOf({"x1", "x2", "x4"});
  const bool known = d.op.Take("sync") && d.op.Take("aligned") && d.op.Take("m8n8") &&
                     d.op.TakeType() == Type::kB16 && count >= 0;
  if (!known) d.Fail("an unknown form");
  d.in.form = d.op.Take("trans") ? 1 : 0;
  const bool shared = d.op.Take("shared") || d.op.Take("shared::cta");
  d.in.vector = static_cast<std::uint8_t>(1 << count);
  d.in.control = Control::kWholeWarp;
  d.in.run = stores ? StoreMatrices : LoadMatrices;
  const Operand& registers = d.At(stores ? 1 : 0);
  if (!stores) d.DstVector(registers, 4);
  d.Address(d.At(stores ? 0 : 1), shared ? Space::kShared : Space::kGeneric);
  if (stores) d.SrcVector(registers, 4);
  const std::size_t found = stores ? d.in.num_src - 1U : d.in.num_dst;
  if (found != d.in.vector) d.Fail("another number of registers is wanted");
}

struct Bfloats {
  static constexpr std::size_t kPerRegister = 2;
  static float Read(std::uint32_t bits, std::size_t i) {
    return FromBf16(static_cast<std::uint16_t>(bits >> (16 * i)));
  }
};
struct Halves {
  static constexpr std::size_t kPerRegister = 2;
  static float Read(std::uint32_t bits, std::size_t i) {
    return FromHalf(static_cast<std::uint16_t>(bits >> (16 * i)));
  }
};
struct Tf32 {
  static constexpr std::size_t kPerRegister = 1;
  static float Read(std::uint32_t bits, std::size_t) {
    return std::bit_cast<float>(bits & ~0x1fffU);
  }
};

constexpr std::size_t kM = 16;
constexpr std::size_t kN = 8;
using Accumulator = float[kM][kN];

// m16n8kK. a, b, c lie as PTX says: thread = 4 group + member.
template <typename Format, std::size_t K>
void MultiplyMatrices(Warp& warp, const Instruction& in, std::uint32_t) {
  constexpr std::size_t kPer = Format::kPerRegister;
  constexpr std::size_t kColumns = 4 * kPer;  // that a register covers
  constexpr std::size_t kSteps = K / kColumns;
  float a[kM][K];
  float b[K][kN];
  Accumulator c;
  for (std::size_t i = 0; i < 2 * kSteps; ++i) {
    const auto* bits = warp.Lanes<std::uint32_t>(in.src[i]);
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      for (std::size_t j = 0; j < kPer; ++j) {
        a[lane / 4 + 8 * (i % 2)][lane % 4 * kPer + j + kColumns * (i / 2)] =
            Format::Read(bits[lane], j);
      }
    }
  }
  for (std::size_t i = 0; i < kSteps; ++i) {
    const auto* bits = warp.Lanes<std::uint32_t>(in.src[2 * kSteps + i]);
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      for (std::size_t j = 0; j < kPer; ++j) {
        b[lane % 4 * kPer + j + kColumns * i][lane / 4] = Format::Read(bits[lane], j);
      }
    }
  }
  for (std::size_t i = 0; i < 4; ++i) {
    const auto* value = warp.Lanes<float>(in.src[3 * kSteps + i]);
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      c[lane / 4 + 8 * (i / 2)][lane % 4 * 2 + i % 2] = value[lane];
    }
  }
  for (std::size_t row = 0; row < kM; ++row) {
    for (std::size_t k = 0; k < K; ++k) {
      for (std::size_t column = 0; column < kN; ++column) {
        c[row][column] += a[row][k] * b[k][column];
      }
    }
  }
  for (std::size_t i = 0; i < 4; ++i) {
    auto* d = warp.Lanes<float>(in.dst[i]);
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      d[lane] = CanonicalNan(c[lane / 4 + 8 * (i / 2)][lane % 4 * 2 + i % 2]);
    }
  }
  ++warp.block->launch.counts.matrix_products;
}

void BuildMma(Decoder& d) {
  if (!d.op.Take("sync") || !d.op.Take("aligned") || !d.op.Take("row") || !d.op.Take("col")) {
    d.Fail("an unknown form");
  }
  const bool k16 = d.op.Take("m16n8k16");
  const bool k8 = !k16 && d.op.Take("m16n8k8");
  const bool k4 = !k16 && !k8 && d.op.Take("m16n8k4");
  const Type to = d.TakeType();
  const Type a = d.TakeType();
  const Type b = d.TakeType();
  const Type c = d.TakeType();
  if (to != Type::kF32 || c != Type::kF32 || a != b) d.Fail("unknown types");
  if (a == Type::kBf16 && k16) d.in.run = MultiplyMatrices<Bfloats, 16>;
  if (a == Type::kBf16 && k8) d.in.run = MultiplyMatrices<Bfloats, 8>;
  if (a == Type::kF16 && k16) d.in.run = MultiplyMatrices<Halves, 16>;
  if (a == Type::kF16 && k8) d.in.run = MultiplyMatrices<Halves, 8>;
  if (a == Type::kTf32 && k8) d.in.run = MultiplyMatrices<Tf32, 8>;
  if (a == Type::kTf32 && k4) d.in.run = MultiplyMatrices<Tf32, 4>;
  if (d.in.run == nullptr) d.Fail("an unknown shape");
  const std::size_t k = k16 ? 16 : k8 ? 8 : 4;
  const std::size_t steps = k / (a == Type::kTf32 ? 4 : 8);
  d.in.control = Control::kWholeWarp;
  for (std::size_t i = 0; i < 4; ++i) {
    const std::size_t registers[] = {4, 2 * steps, steps, 4};
    const Operand& operand = d.At(i);
    const std::size_t found = operand.kind == Operand::Kind::kVector ? operand.elements.size() : 1;
    if (found != registers[i]) d.Fail("another number of registers is wanted");
    i == 0 ? d.DstVector(operand, 4) : d.SrcVector(operand, 4);
  }
}

}  // namespace

const BuilderTable& MatrixBuilders() {
  static const BuilderTable table = {
      {"ldmatrix", BuildMoveOfMatrices}, {"stmatrix", BuildMoveOfMatrices}, {"mma", BuildMma}};
  return table;
}

}  // namespace sequela::ptx
