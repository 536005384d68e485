// From statements to a Program. Each family of instructions has a table of builders, which read the
// modifiers and operands of a statement and choose the handler.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/ptx/interpreter/module.h"
#include "tests/ptx/interpreter/program.h"
#include "tests/ptx/interpreter/syntax.h"

namespace sequela::ptx {

enum class Type : std::uint8_t {
  kPred,
  kB8,
  kU8,
  kS8,
  kB16,
  kU16,
  kS16,
  kF16,
  kBf16,
  kB32,
  kU32,
  kS32,
  kF32,
  kTf32,
  kF16x2,
  kBf16x2,
  kB64,
  kU64,
  kS64,
  kF64,
};
std::optional<Type> TypeByName(std::string_view name);
std::size_t BytesOf(Type type);
bool IsSigned(Type type);
bool IsFloat(Type type);

// "add.rn.ftz.f32" without "add". What no builder takes is not understood.
class Modifiers {
 public:
  explicit Modifiers(std::string_view opcode);
  bool Take(std::string_view modifier);
  // The first of `choices` that is there, as its index, or -1.
  int TakeOneOf(std::initializer_list<std::string_view> choices);
  void DropHints();                // of caches: they change no result
  std::optional<Type> TakeType();  // the first one left
  std::string_view Root() const { return root_; }
  std::string Left() const;  // what was not taken

 private:
  std::string_view root_;
  std::vector<std::string_view> parts_;
};

// One instruction on its way.
class Decoder {
 public:
  struct Name {
    Slot slot;
    std::uint8_t width;
  };
  struct Scope {
    std::map<std::string_view, Name> registers;
    std::map<std::string_view, std::pair<std::uint64_t, std::uint8_t>> ranges;  // count, width
    std::map<std::string_view, std::uint32_t> labels;
    std::map<std::string_view, std::uint32_t> tables;
    std::map<std::string_view, Symbol> symbols;
    int parent = -1;
  };

  Decoder(Program& program, const Entry& entry);
  void Run();

  // For builders.
  Modifiers op{""};
  Instruction in;
  const std::vector<Operand>& Operands() const { return statement_->operands; }
  const Operand& At(std::size_t i) const;
  Type TakeType();  // throws where there is none
  // Add the operand to the instruction's destinations or sources. Width: bytes of the register that
  // the instruction wants; 0: any, which is put in in.width.
  void Dst(const Operand& operand, std::size_t width);
  void Src(const Operand& operand, std::size_t width);
  void DstVector(const Operand& operand, std::size_t width);
  void SrcVector(const Operand& operand, std::size_t width);
  // [register + offset] or [symbol + offset].
  void Address(const Operand& operand, Space space);
  void SrcConstant(std::uint64_t value, std::size_t width);
  // The registers of a vector, without adding them to the instruction.
  std::vector<Slot> Registers(const Operand& vector, std::size_t width);
  void AddProduct(Product product);
  // How wide a register is; that of an immediate is 0.
  std::size_t WidthOf(const Operand& operand);
  [[noreturn]] void Fail(const std::string& what) const;

 private:
  void Declare(const Statement& statement);
  void PlaceVariable(const Variable& variable);
  void Instruct(const Statement& statement);
  void ResolveLabels();
  std::optional<Name> FindRegister(std::string_view name);
  const Symbol* FindSymbol(std::string_view name) const;
  Slot Register(std::string_view name, std::size_t width);
  Slot SpecialRegister(std::string_view name, std::size_t width);
  Slot Constant(std::uint64_t value, std::size_t width);
  Slot NewSlot(std::string_view name = "");

  struct Fixup {
    std::uint32_t instruction;
    int scope;
    std::string_view label;
    int line;
  };
  friend void BuildBranch(Decoder& d);
  friend void BuildIndexedBranch(Decoder& d);

  Program& program_;
  const Entry& entry_;
  const Statement* statement_ = nullptr;
  std::vector<Statement> body_;
  std::vector<Scope> scopes_;
  int scope_ = 0;
  std::map<std::pair<std::size_t, std::uint64_t>, Slot> constants_;
  std::map<Special, Slot> specials_;
  std::vector<Fixup> fixups_;
  std::vector<std::pair<const Statement*, int>> tables_;
  std::uint64_t dynamic_alignment_ = 1;
  std::vector<std::string_view> dynamic_;  // extern .shared
};

using Builder = void (*)(Decoder& d);
using BuilderTable = std::map<std::string_view, Builder>;
const BuilderTable& ArithmeticBuilders();
const BuilderTable& FloatBuilders();
const BuilderTable& LogicBuilders();
const BuilderTable& BitBuilders();
const BuilderTable& CompareBuilders();
const BuilderTable& ConversionBuilders();
const BuilderTable& MoveBuilders();
const BuilderTable& MemoryBuilders();
const BuilderTable& AsyncBuilders();
const BuilderTable& AtomicBuilders();
const BuilderTable& MatrixBuilders();
const BuilderTable& WarpgroupBuilders();
const BuilderTable& WarpBuilders();
const BuilderTable& ControlBuilders();

Program Decode(const std::string& name, const Entry& entry);

}  // namespace sequela::ptx
