// PTX as text: what stands in a module, statement by statement, with the lines it came from. No
// meaning is given to an opcode here.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sequela::ptx {

struct Token {
  enum class Kind { kEnd, kWord, kNumber, kString, kSign };
  Kind kind = Kind::kEnd;
  std::string_view text;  // of the module's text
  int line = 0;

  bool Is(std::string_view what) const { return text == what && kind != Kind::kString; }
};

// Cuts a text into tokens. A word may hold dots ("ld.global.v4.u32", "%tid.x") and "::".
class Lexer {
 public:
  Lexer(std::string_view text, int first_line) : text_(text), line_(first_line) { Advance(); }

  const Token& Peek() const { return next_; }
  Token Take();
  Token Expect(std::string_view what);  // throws where something else stands
  bool TakeIf(std::string_view what);
  void SkipLine();
  std::size_t Offset() const { return next_begin_; }  // of the next token in the text

 private:
  void Advance();
  void SkipBlanks();

  std::string_view text_;
  std::size_t at_ = 0;
  std::size_t next_begin_ = 0;
  int line_;
  Token next_;
};

struct Operand {
  enum class Kind {
    kName,     // a register, a special register, a symbol or a label
    kInteger,  // value
    kFloat32,  // value holds the bits (0fXXXXXXXX)
    kFloat64,  // value holds the bits (0dXXXXXXXXXXXXXXXX)
    kVector,   // {a, b}
    kAddress,  // [name + value]; name empty where it is a number alone
    kPair,     // a|b
  };
  Kind kind = Kind::kName;
  std::string_view name;
  std::uint64_t value = 0;
  bool negated = false;  // !%p
  std::vector<Operand> elements;
};

// A variable of a memory space: `.shared .align 16 .b8 tile[4096];`
struct Variable {
  std::string_view space;  // ".shared"
  std::string_view name;
  std::uint64_t bytes = 0;  // 0: of unknown extent (extern)
  std::uint64_t alignment = 1;
  std::vector<std::uint8_t> initial;  // may be shorter than `bytes`: the rest is zero
  bool initialised = false;
};

struct Statement {
  enum class Kind {
    kOpen,           // {
    kClose,          // }
    kLabel,          // name
    kBranchTargets,  // name: targets in operands
    kRegisters,      // type in opcode; names in operands, a count of them in value (0: no range)
    kVariable,
    kInstruction,
  };
  Kind kind = Kind::kInstruction;
  int line = 0;
  std::string_view name;
  std::string_view opcode;
  std::string_view guard;  // empty: none
  bool guard_negated = false;
  std::vector<Operand> operands;
  Variable variable;
};

// Bytes of a scalar type by its name without the dot; throws where it is unknown.
std::uint64_t BytesOfTypeName(std::string_view type);

// Reads a variable whose space was the token just taken, up to and with its ';', or, for a
// parameter of a kernel, up to its ',' or ')'.
Variable ReadVariable(Lexer& lexer, std::string_view space);

// The statements of a kernel's body, its braces included.
std::vector<Statement> ReadBody(std::string_view text, int first_line);

// Text and line of a mistake in the PTX, or of what we do not understand.
[[noreturn]] void SyntaxFault(int line, const std::string& what);

}  // namespace sequela::ptx
