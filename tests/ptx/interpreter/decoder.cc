#include "tests/ptx/interpreter/decoder.h"

#include <algorithm>
#include <charconv>

#include "kernels/base/check.h"
#include "kernels/base/int_math.h"

namespace sequela::ptx {
namespace {

std::uint64_t RoundUpTo(std::uint64_t value, std::uint64_t alignment) {
  return (value + alignment - 1) / alignment * alignment;
}

Builder FindBuilder(std::string_view root) {
  for (const BuilderTable* table :
       {&ArithmeticBuilders(), &FloatBuilders(), &LogicBuilders(), &BitBuilders(),
        &CompareBuilders(), &ConversionBuilders(), &MoveBuilders(), &MemoryBuilders(),
        &AsyncBuilders(), &AtomicBuilders(), &MatrixBuilders(), &WarpgroupBuilders(),
        &WarpBuilders(), &ControlBuilders()}) {
    const auto found = table->find(root);
    if (found != table->end()) return found->second;
  }
  return nullptr;
}

}  // namespace

Decoder::Decoder(Program& program, const Entry& entry) : program_(program), entry_(entry) {
  Scope& outer = scopes_.emplace_back();
  for (const auto& [name, symbol] : entry.module->symbols) outer.symbols[name] = symbol;
  std::uint64_t at = 0;
  for (const Variable& parameter : entry.parameters) {
    at = RoundUpTo(at, parameter.alignment);
    outer.symbols[parameter.name] = {Space::kParam, at, parameter.bytes};
    at += parameter.bytes;
  }
  program_.parameter_bytes = at;
  for (const Variable& variable : entry.module->shared) PlaceVariable(variable);
}

void Decoder::PlaceVariable(const Variable& variable) {
  if (variable.space == ".shared" && variable.bytes == 0) {
    dynamic_alignment_ = std::max<std::uint64_t>({dynamic_alignment_, variable.alignment, 16});
    dynamic_.push_back(variable.name);
    return;
  }
  const bool is_shared = variable.space == ".shared";
  if (!is_shared && variable.space != ".local") {
    SyntaxFault(entry_.line, fmt::format("a variable in {}", variable.space));
  }
  std::uint64_t& used = is_shared ? program_.shared_bytes : program_.local_bytes;
  used = RoundUpTo(used, variable.alignment);
  scopes_[static_cast<std::size_t>(scope_)].symbols[variable.name] = {
      is_shared ? Space::kShared : Space::kLocal, used, variable.bytes};
  used += variable.bytes;
}

void Decoder::Declare(const Statement& statement) {
  Scope& scope = scopes_[static_cast<std::size_t>(scope_)];
  const std::string_view type = statement.opcode.substr(1);
  const auto width = static_cast<std::uint8_t>(type == "pred" ? 1 : BytesOfTypeName(type));
  if (width > 8) SyntaxFault(statement.line, "registers of 128 bits");
  for (const Operand& operand : statement.operands) {
    if (operand.value > 0) {
      scope.ranges[operand.name] = {operand.value, width};
    } else {
      scope.registers[operand.name] = {NewSlot(operand.name), width};
    }
  }
}

Slot Decoder::NewSlot(std::string_view name) {
  if (program_.slots >= Instruction::kNone) Fail("too many registers");
  program_.names.push_back(name);
  return static_cast<Slot>(program_.slots++);
}

std::optional<Decoder::Name> Decoder::FindRegister(std::string_view name) {
  const std::size_t digits = name.find_last_not_of("0123456789") + 1;
  for (int at = scope_; at >= 0; at = scopes_[static_cast<std::size_t>(at)].parent) {
    Scope& scope = scopes_[static_cast<std::size_t>(at)];
    const auto found = scope.registers.find(name);
    if (found != scope.registers.end()) return found->second;
    const auto range = scope.ranges.find(name.substr(0, digits));
    if (range == scope.ranges.end() || digits == name.size()) continue;
    std::uint64_t number = 0;
    std::from_chars(name.data() + digits, name.data() + name.size(), number);
    if (number >= range->second.first) continue;
    const Name made{NewSlot(name), range->second.second};
    scope.registers[name] = made;
    return made;
  }
  return std::nullopt;
}

const Symbol* Decoder::FindSymbol(std::string_view name) const {
  for (int at = scope_; at >= 0; at = scopes_[static_cast<std::size_t>(at)].parent) {
    const auto& symbols = scopes_[static_cast<std::size_t>(at)].symbols;
    const auto found = symbols.find(name);
    if (found != symbols.end()) return &found->second;
  }
  return nullptr;
}

Slot Decoder::Constant(std::uint64_t value, std::size_t width) {
  if (width < 8 && width > 1) value &= (std::uint64_t{1} << (8 * width)) - 1;
  const auto [place, is_new] = constants_.try_emplace({width, value}, Slot{0});
  if (is_new) {
    place->second = NewSlot();
    program_.constants.push_back({place->second, static_cast<std::uint8_t>(width), value});
  }
  return place->second;
}

Slot Decoder::SpecialRegister(std::string_view name, std::size_t width) {
  static const std::map<std::string_view, Special> specials = {
      {"%tid.x", Special::kTidX},
      {"%tid.y", Special::kTidY},
      {"%tid.z", Special::kTidZ},
      {"%ntid.x", Special::kNtidX},
      {"%ntid.y", Special::kNtidY},
      {"%ntid.z", Special::kNtidZ},
      {"%ctaid.x", Special::kCtaidX},
      {"%ctaid.y", Special::kCtaidY},
      {"%ctaid.z", Special::kCtaidZ},
      {"%nctaid.x", Special::kNctaidX},
      {"%nctaid.y", Special::kNctaidY},
      {"%nctaid.z", Special::kNctaidZ},
      {"%laneid", Special::kLaneid},
      {"%warpid", Special::kWarpid},
      {"%nwarpid", Special::kNwarpid},
      {"%lanemask_lt", Special::kLanemaskLt},
      {"%lanemask_le", Special::kLanemaskLe},
      {"%lanemask_eq", Special::kLanemaskEq},
      {"%lanemask_ge", Special::kLanemaskGe},
      {"%lanemask_gt", Special::kLanemaskGt},
      {"%dynamic_smem_size", Special::kDynamicSharedBytes},
      {"%total_smem_size", Special::kTotalSharedBytes}};
  const auto found = specials.find(name);
  if (found == specials.end()) Fail(fmt::format("'{}' is declared nowhere", name));
  if (width != 4 && width != 0) Fail(fmt::format("{} has 32 bits", name));
  const auto [place, is_new] = specials_.try_emplace(found->second, Slot{0});
  if (is_new) {
    place->second = NewSlot();
    program_.specials.push_back({place->second, found->second});
  }
  return place->second;
}

Slot Decoder::Register(std::string_view name, std::size_t width) {
  const std::optional<Name> found = FindRegister(name);
  if (!found) return SpecialRegister(name, width);
  if (width != 0 && found->width != width) {
    Fail(fmt::format("{} has {} bits, {} are wanted", name, 8 * found->width, 8 * width));
  }
  return found->slot;
}

std::size_t Decoder::WidthOf(const Operand& operand) {
  if (operand.kind != Operand::Kind::kName) return 0;
  const std::optional<Name> found = FindRegister(operand.name);
  if (found) return found->width;
  return FindSymbol(operand.name) != nullptr ? 8 : 4;
}

const Operand& Decoder::At(std::size_t i) const {
  if (i >= Operands().size()) Fail("an operand is missing");
  return Operands()[i];
}

Type Decoder::TakeType() {
  const std::optional<Type> type = op.TakeType();
  if (!type) Fail("a type is missing");
  return *type;
}

void Decoder::Dst(const Operand& operand, std::size_t width) {
  if (operand.kind != Operand::Kind::kName) Fail("the destination is no register");
  if (in.num_dst == in.dst.size()) Fail("too many destinations");
  if (operand.name == "_") {  // thrown away
    in.dst[in.num_dst++] = NewSlot();
    return;
  }
  const std::optional<Name> found = FindRegister(operand.name);
  if (!found) Fail(fmt::format("'{}' is no register", operand.name));
  if (width == 0) in.width = found->width;
  in.dst[in.num_dst++] = Register(operand.name, width);
}

void Decoder::SrcConstant(std::uint64_t value, std::size_t width) {
  if (in.num_src == in.src.size()) Fail("too many sources");
  in.src[in.num_src++] = Constant(value, width);
}

void Decoder::Src(const Operand& operand, std::size_t width) {
  if (in.num_src == in.src.size()) Fail("too many sources");
  switch (operand.kind) {
    case Operand::Kind::kName: {
      const Symbol* symbol = FindRegister(operand.name) ? nullptr : FindSymbol(operand.name);
      if (symbol != nullptr) {
        SrcConstant(symbol->address + operand.value, width == 0 ? 8 : width);
        return;
      }
      if (std::find(dynamic_.begin(), dynamic_.end(), operand.name) != dynamic_.end() &&
          !FindRegister(operand.name)) {
        SrcConstant(RoundUpTo(program_.shared_bytes, dynamic_alignment_) + operand.value,
                    width == 0 ? 8 : width);
        return;
      }
      if (width == 0) in.width = static_cast<std::uint8_t>(WidthOf(operand));
      in.src[in.num_src++] = Register(operand.name, width);
      return;
    }
    case Operand::Kind::kInteger:
    case Operand::Kind::kFloat32:
    case Operand::Kind::kFloat64:
      if (width == 0) {
        width = operand.kind == Operand::Kind::kFloat32 ? 4 : 8;
        in.width = static_cast<std::uint8_t>(width);
      }
      if (width == 1) {
        SrcConstant(operand.value != 0 ? 0xffffffffU : 0, 1);
      } else {
        SrcConstant(operand.value, width);
      }
      return;
    default:
      Fail("a register or a number is wanted");
  }
}

void Decoder::DstVector(const Operand& operand, std::size_t width) {
  if (operand.kind != Operand::Kind::kVector) return Dst(operand, width);
  for (const Operand& element : operand.elements) Dst(element, width);
}
void Decoder::SrcVector(const Operand& operand, std::size_t width) {
  if (operand.kind != Operand::Kind::kVector) return Src(operand, width);
  for (const Operand& element : operand.elements) Src(element, width);
}

std::vector<Slot> Decoder::Registers(const Operand& vector, std::size_t width) {
  if (vector.kind != Operand::Kind::kVector) Fail("a vector of registers is wanted");
  std::vector<Slot> slots;
  for (const Operand& element : vector.elements) {
    if (element.kind != Operand::Kind::kName) Fail("a register is wanted");
    slots.push_back(Register(element.name, width));
  }
  return slots;
}

void Decoder::AddProduct(Product product) {
  in.target = static_cast<std::uint32_t>(program_.products.size());
  program_.products.push_back(std::move(product));
}

void Decoder::Address(const Operand& operand, Space space) {
  if (operand.kind != Operand::Kind::kAddress) Fail("an address is wanted");
  in.space = space;
  in.immediate = static_cast<std::int64_t>(operand.value);
  if (operand.name.empty()) {
    SrcConstant(0, 8);
    return;
  }
  const Operand name{.kind = Operand::Kind::kName, .name = operand.name};
  const std::size_t width = FindRegister(operand.name) ? WidthOf(name) : 8;
  if (width == 4) {  // 32-bit addresses of shared, local and parameters
    in.form2 = 4;
    Src(name, 4);
  } else {
    in.form2 = 8;
    Src(name, 8);
  }
}

void Decoder::Fail(const std::string& what) const {
  SyntaxFault(statement_->line,
              fmt::format("{}: '{}': {}", program_.name, statement_->opcode, what));
}

void Decoder::Instruct(const Statement& statement) {
  op = Modifiers(statement.opcode);
  in = {};
  in.line = statement.line;
  if (!statement.guard.empty()) {
    in.guard = Register(statement.guard, 1);
    in.guard_negated = statement.guard_negated;
  }
  const Builder build = FindBuilder(op.Root());
  if (build == nullptr) Fail("an unknown instruction");
  build(*this);
  const std::string left = op.Left();
  if (!left.empty()) Fail(fmt::format("an unknown form (.{})", left));
  program_.has_async = program_.has_async || in.async;
  program_.code.push_back(in);
}

void Decoder::ResolveLabels() {
  const auto find = [this](int scope, std::string_view label, int line) {
    for (int at = scope; at >= 0; at = scopes_[static_cast<std::size_t>(at)].parent) {
      const auto& labels = scopes_[static_cast<std::size_t>(at)].labels;
      const auto found = labels.find(label);
      if (found != labels.end()) return found->second;
    }
    SyntaxFault(line, fmt::format("no label '{}'", label));
  };
  for (const auto& [statement, scope] : tables_) {
    std::vector<std::uint32_t>& table = program_.tables.emplace_back();
    for (const Operand& label : statement->operands) {
      table.push_back(find(scope, label.name, statement->line));
    }
  }
  for (const Fixup& fixup : fixups_) {
    Instruction& branch = program_.code[fixup.instruction];
    if (branch.control == Control::kBranch) {
      branch.target = find(fixup.scope, fixup.label, fixup.line);
      continue;
    }
    for (std::uint32_t i = 0; i < tables_.size(); ++i) {
      if (tables_[i].first->name == fixup.label) branch.target = i;
    }
  }
}

void Decoder::Run() {
  body_ = ReadBody(entry_.body, entry_.line);
  for (const Statement& statement : body_) {
    statement_ = &statement;
    switch (statement.kind) {
      case Statement::Kind::kOpen:
        scopes_.push_back({});
        scopes_.back().parent = scope_;
        scope_ = static_cast<int>(scopes_.size()) - 1;
        break;
      case Statement::Kind::kClose:
        scope_ = scopes_[static_cast<std::size_t>(scope_)].parent;
        break;
      case Statement::Kind::kLabel:
        scopes_[static_cast<std::size_t>(scope_)].labels[statement.name] =
            static_cast<std::uint32_t>(program_.code.size());
        break;
      case Statement::Kind::kBranchTargets:
        tables_.push_back({&statement, scope_});
        break;
      case Statement::Kind::kRegisters:
        Declare(statement);
        break;
      case Statement::Kind::kVariable:
        PlaceVariable(statement.variable);
        break;
      case Statement::Kind::kInstruction:
        Instruct(statement);
        break;
    }
  }
  ResolveLabels();
  program_.code.push_back({.control = Control::kExit, .line = entry_.line});
  program_.shared_bytes = RoundUpTo(program_.shared_bytes, dynamic_alignment_);
}

Program Decode(const std::string& name, const Entry& entry) {
  Program program;
  program.name = name;
  program.text = entry.module->text;
  Decoder(program, entry).Run();
  return program;
}

}  // namespace sequela::ptx
