// A kernel made ready to run: every operand a slot of registers, every instruction a function.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tests/ptx/interpreter/memory.h"

namespace sequela::ptx {

struct Warp;
struct Instruction;
using Handler = void (*)(Warp& warp, const Instruction& in, std::uint32_t mask);
using Slot = std::uint16_t;

// What the scheduler does for an instruction besides, or instead of, its handler.
enum class Control : std::uint8_t {
  kNone,
  kBranch,         // to target
  kIndexedBranch,  // to tables[target][src[0]]
  kExit,
  kBarrier,    // waits for the block: BarrierForm in `form`
  kWholeWarp,  // runs once all 32 threads are there: `.aligned` instructions on matrices
  kMembers,    // runs once the threads of the mask in the last source are there
};

struct Instruction {
  static constexpr Slot kNone = 0xffff;

  Handler run = nullptr;
  Control control = Control::kNone;
  bool guard_negated = false;
  bool async = false;  // its effect comes later
  bool moves = false;  // hands on what was never written instead of refusing it
  std::uint8_t num_dst = 0;
  std::uint8_t num_src = 0;
  Slot guard = kNone;
  std::array<Slot, 8> dst{};
  std::array<Slot, 12> src{};
  std::int64_t immediate = 0;  // added to an address
  std::uint32_t target = 0;    // of a branch: an instruction or a table
  std::int32_t line = 0;
  // Of accesses to memory.
  Space space = Space::kGeneric;
  std::uint8_t bytes = 0;   // of an element
  std::uint8_t vector = 1;  // elements
  std::uint8_t width = 0;   // bytes of the registers
  bool is_signed = false;
  bool relaxed = false;  // volatile, relaxed, acquire, release: ordered like an atomic
  // Of whatever else the handler wants to know; told where it is set.
  std::uint8_t form = 0;
  std::uint8_t form2 = 0;
};

// What a wgmma.mma_async has beyond an Instruction: D[64, n] += A[64, 16] B[16, n].
struct Product {
  std::uint16_t n = 0;
  bool half = false;  // f16 elements; otherwise bf16
  bool negate_a = false;
  bool negate_b = false;
  bool m_major_a = false;
  bool n_major_b = false;
  std::vector<Slot> d;  // for each 8 columns 4 registers
  std::vector<Slot> a;  // empty: A lies in shared memory
};

struct ConstantSlot {
  Slot slot;
  std::uint8_t width;  // bytes of a lane
  std::uint64_t value;
};

enum class Special : std::uint8_t {
  kTidX,
  kTidY,
  kTidZ,
  kNtidX,
  kNtidY,
  kNtidZ,
  kCtaidX,
  kCtaidY,
  kCtaidZ,
  kNctaidX,
  kNctaidY,
  kNctaidZ,
  kLaneid,
  kWarpid,
  kNwarpid,
  kLanemaskLt,
  kLanemaskLe,
  kLanemaskEq,
  kLanemaskGe,
  kLanemaskGt,
  kDynamicSharedBytes,
  kTotalSharedBytes,
};
struct SpecialSlot {
  Slot slot;
  Special special;
};

struct Program {
  std::string name;
  std::vector<Instruction> code;
  std::vector<std::vector<std::uint32_t>> tables;  // of indexed branches
  std::vector<Product> products;                   // by target of their instructions
  std::vector<ConstantSlot> constants;
  std::vector<SpecialSlot> specials;
  std::size_t slots = 0;
  std::vector<std::string_view> names;  // of registers, by slot; empty for what has none
  std::uint64_t parameter_bytes = 0;
  std::uint64_t shared_bytes = 0;  // static
  std::uint64_t local_bytes = 0;   // of a thread
  bool has_async = false;          // cp.async, wgmma
  std::string_view text;           // of the module, for messages
};

}  // namespace sequela::ptx
