// Branches and barriers: what they mean to the scheduler.
#include "tests/ptx/interpreter/lanes.h"
#include "tests/ptx/interpreter/scheduler.h"

namespace sequela::ptx {

void BuildBranch(Decoder& d) {
  d.op.Take("uni");
  d.in.control = Control::kBranch;
  d.fixups_.push_back(
      {static_cast<std::uint32_t>(d.program_.code.size()), d.scope_, d.At(0).name, d.in.line});
}

void BuildIndexedBranch(Decoder& d) {
  if (!d.op.Take("idx")) d.Fail("only brx.idx is known");
  d.op.Take("uni");
  d.in.control = Control::kIndexedBranch;
  d.Src(d.At(0), 4);
  d.fixups_.push_back(
      {static_cast<std::uint32_t>(d.program_.code.size()), d.scope_, d.At(1).name, d.in.line});
}

namespace {

void BuildExit(Decoder& d) {
  d.op.Take("uni");
  d.in.control = Control::kExit;
}

// `trap` is what nvcc makes of unreachable code and of assertions.
void Trap(Warp& warp, const Instruction&, std::uint32_t mask) {
  Fault(warp, static_cast<std::uint32_t>(__builtin_ctz(mask)), "the kernel traps");
}
void BuildTrap(Decoder& d) { d.in.run = Trap; }

void WarpBarrier(Warp& warp, const Instruction&, std::uint32_t) {
  warp.block->launch.clocks.StepWarp(warp.index);
}

// bar.red.op: in.vector; the predicate is the last source, its negation in.is_signed.
void TakeReduction(Decoder& d) {
  const int operation = d.op.TakeOneOf({"popc", "and", "or"});
  if (operation < 0) d.Fail("an unknown reduction");
  d.TakeType();
  d.in.vector = static_cast<std::uint8_t>(operation);
  d.Dst(d.At(0), operation == 0 ? 4 : 1);
}

// src: the barrier, then, if bit 0 of form2, the number of threads. in.form: the BarrierForm.
void BuildBarrier(Decoder& d) {
  if (d.op.Take("warp")) {
    if (!d.op.Take("sync")) d.Fail("only .sync is known");
    d.in.control = Control::kMembers;
    d.in.run = WarpBarrier;
    d.Src(d.At(0), 4);
    return;
  }
  d.op.Take("cta");
  d.op.Take("aligned");
  const int form = d.op.TakeOneOf({"sync", "arrive", "red"});
  if (form < 0) d.Fail("an unknown barrier");
  d.in.control = Control::kBarrier;
  d.in.form = static_cast<std::uint8_t>(form);
  std::size_t at = 0;
  std::size_t end = d.Operands().size();
  if (d.in.form == static_cast<std::uint8_t>(BarrierForm::kReduce)) {
    TakeReduction(d);
    at = 1;
    --end;
  }
  d.Src(d.At(at++), 4);
  if (at < end) {
    d.in.form2 = 1;
    d.Src(d.At(at), 4);
  }
  if (end < d.Operands().size()) {
    d.in.is_signed = d.At(end).negated;
    d.Src(d.At(end), 1);
  }
}

}  // namespace

const BuilderTable& ControlBuilders() {
  static const BuilderTable table = {{"bra", BuildBranch},     {"brx", BuildIndexedBranch},
                                     {"ret", BuildExit},       {"exit", BuildExit},
                                     {"trap", BuildTrap},      {"bar", BuildBarrier},
                                     {"barrier", BuildBarrier}};
  return table;
}

}  // namespace sequela::ptx
