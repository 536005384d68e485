#include "tests/ptx/interpreter/syntax.h"

#include <charconv>
#include <cstring>
#include <map>

#include "kernels/base/check.h"

namespace sequela::ptx {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsWord(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || IsDigit(c) || c == '_' || c == '$' ||
         c == '%' || c == '.';
}

// A number as the token spells it, without a sign.
Operand Number(const Token& token) {
  std::string_view digits = token.text;
  Operand operand{.kind = Operand::Kind::kInteger};
  int base = 10;
  if (digits.size() > 2 && digits[0] == '0') {
    const char form = digits[1];
    if (form == 'f' || form == 'F') operand.kind = Operand::Kind::kFloat32;
    if (form == 'd' || form == 'D') operand.kind = Operand::Kind::kFloat64;
    if (form == 'b' || form == 'B') base = 2;
    if (form == 'x' || form == 'X' || operand.kind != Operand::Kind::kInteger) base = 16;
    if (base != 10) digits.remove_prefix(2);
  }
  if (digits.back() == 'U') digits.remove_suffix(1);
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), operand.value, base);
  if (error != std::errc() || end != digits.data() + digits.size()) {
    SyntaxFault(token.line, fmt::format("'{}' is not a number", token.text));
  }
  return operand;
}

Operand ReadOperand(Lexer& lexer);

Operand ReadAddress(Lexer& lexer) {
  Operand operand{.kind = Operand::Kind::kAddress};
  if (lexer.Peek().kind == Token::Kind::kWord) operand.name = lexer.Take().text;
  while (!lexer.TakeIf("]")) {
    bool minus = false;
    if (!operand.name.empty() || operand.value != 0) {
      if (!lexer.TakeIf("+")) {
        lexer.Expect("-");
        minus = true;
      }
    }
    if (lexer.TakeIf("-")) minus = !minus;
    const std::uint64_t value = Number(lexer.Take()).value;
    operand.value += minus ? 0 - value : value;
  }
  return operand;
}

Operand ReadSimpleOperand(Lexer& lexer) {
  if (lexer.TakeIf("{")) {
    Operand operand{.kind = Operand::Kind::kVector};
    while (!lexer.TakeIf("}")) {
      operand.elements.push_back(ReadOperand(lexer));
      lexer.TakeIf(",");
    }
    return operand;
  }
  if (lexer.TakeIf("[")) return ReadAddress(lexer);
  if (lexer.TakeIf("!")) {
    Operand operand = ReadSimpleOperand(lexer);
    operand.negated = true;
    return operand;
  }
  const bool minus = lexer.TakeIf("-");
  const Token token = lexer.Take();
  if (token.kind == Token::Kind::kWord) {
    Operand operand{.kind = Operand::Kind::kName, .name = token.text};
    if (lexer.TakeIf("+")) operand.value = Number(lexer.Take()).value;  // symbol + offset
    return operand;
  }
  if (token.kind != Token::Kind::kNumber) {
    SyntaxFault(token.line, fmt::format("operand expected, '{}' found", token.text));
  }
  Operand operand = Number(token);
  if (minus) operand.value = 0 - operand.value;
  return operand;
}

Operand ReadOperand(Lexer& lexer) {
  Operand operand = ReadSimpleOperand(lexer);
  if (!lexer.TakeIf("|")) return operand;
  Operand pair{.kind = Operand::Kind::kPair};
  pair.elements.push_back(std::move(operand));
  pair.elements.push_back(ReadSimpleOperand(lexer));
  return pair;
}

// `.reg .b32 %r<8>, %extra;`
void ReadRegisters(Lexer& lexer, std::vector<Statement>& out) {
  Statement statement{.kind = Statement::Kind::kRegisters, .line = lexer.Peek().line};
  statement.opcode = lexer.Take().text;
  do {
    Operand operand{.kind = Operand::Kind::kName, .name = lexer.Take().text};
    if (lexer.TakeIf("<")) {
      operand.value = Number(lexer.Take()).value;
      lexer.Expect(">");
    }
    statement.operands.push_back(operand);
  } while (lexer.TakeIf(","));
  lexer.Expect(";");
  out.push_back(std::move(statement));
}

void ReadInstruction(Lexer& lexer, std::vector<Statement>& out) {
  Statement statement{.line = lexer.Peek().line};
  if (lexer.TakeIf("@")) {
    statement.guard_negated = lexer.TakeIf("!");
    statement.guard = lexer.Take().text;
  }
  const Token opcode = lexer.Take();
  if (opcode.kind != Token::Kind::kWord) {
    SyntaxFault(opcode.line, fmt::format("instruction expected, '{}' found", opcode.text));
  }
  statement.opcode = opcode.text;
  if (lexer.Peek().Is("(")) SyntaxFault(opcode.line, "calls are not understood");
  while (!lexer.TakeIf(";")) {
    statement.operands.push_back(ReadOperand(lexer));
    if (!lexer.Peek().Is(";")) lexer.Expect(",");
  }
  out.push_back(std::move(statement));
}

void ReadLabel(const Token& name, Lexer& lexer, std::vector<Statement>& out) {
  Statement statement{.kind = Statement::Kind::kLabel, .line = name.line, .name = name.text};
  if (lexer.TakeIf(".branchtargets")) {
    statement.kind = Statement::Kind::kBranchTargets;
    do {
      statement.operands.push_back(ReadOperand(lexer));
    } while (lexer.TakeIf(","));
    lexer.Expect(";");
  }
  out.push_back(std::move(statement));
}

// The values of `= {1, 2}` or `= 3`, each of `size` bytes.
std::vector<std::uint8_t> ReadInitial(Lexer& lexer, std::uint64_t size) {
  std::vector<std::uint8_t> bytes;
  const bool list = lexer.TakeIf("{");
  do {
    const Operand value = ReadOperand(lexer);
    if (value.kind == Operand::Kind::kVector || value.kind == Operand::Kind::kName) {
      SyntaxFault(lexer.Peek().line, "an initialiser that is not a number");
    }
    for (std::uint64_t i = 0; i < size; ++i) {
      bytes.push_back(static_cast<std::uint8_t>(value.value >> (8 * i)));
    }
  } while (list && lexer.TakeIf(","));
  if (list) lexer.Expect("}");
  return bytes;
}

}  // namespace

void SyntaxFault(int line, const std::string& what) {
  throw InternalError(fmt::format("PTX line {}: {}", line, what));
}

Token Lexer::Take() {
  const Token token = next_;
  Advance();
  return token;
}

Token Lexer::Expect(std::string_view what) {
  if (!next_.Is(what)) {
    SyntaxFault(next_.line, fmt::format("'{}' expected, '{}' found", what, next_.text));
  }
  return Take();
}

bool Lexer::TakeIf(std::string_view what) {
  if (!next_.Is(what)) return false;
  Advance();
  return true;
}

void Lexer::SkipLine() {
  const int line = next_.line;
  while (next_.kind != Token::Kind::kEnd && next_.line == line) Advance();
}

void Lexer::SkipBlanks() {
  while (at_ < text_.size()) {
    const char c = text_[at_];
    const std::string_view rest = text_.substr(at_, 2);
    if (c == '\n') {
      ++line_;
      ++at_;
    } else if (c == ' ' || c == '\t' || c == '\r') {
      ++at_;
    } else if (rest == "//") {
      at_ = std::min(text_.find('\n', at_), text_.size());
    } else if (rest == "/*") {
      const std::size_t end = std::min(text_.find("*/", at_), text_.size() - 2) + 2;
      for (; at_ < end; ++at_) line_ += text_[at_] == '\n' ? 1 : 0;
    } else {
      return;
    }
  }
}

void Lexer::Advance() {
  SkipBlanks();
  next_begin_ = at_;
  next_ = {.line = line_};
  if (at_ >= text_.size()) return;
  const std::size_t begin = at_;
  const char c = text_[at_];
  if (c == '"') {
    next_.kind = Token::Kind::kString;
    at_ = std::min(text_.find('"', at_ + 1), text_.size() - 1) + 1;
  } else if (IsWord(c)) {
    next_.kind = IsDigit(c) ? Token::Kind::kNumber : Token::Kind::kWord;
    while (at_ < text_.size()) {
      if (text_.substr(at_, 2) == "::") {
        at_ += 2;
      } else if (IsWord(text_[at_])) {
        ++at_;
      } else {
        break;
      }
    }
  } else {
    next_.kind = Token::Kind::kSign;
    ++at_;
  }
  next_.text = text_.substr(begin, at_ - begin);
}

std::uint64_t BytesOfTypeName(std::string_view type) {
  static const std::map<std::string_view, std::uint64_t> sizes = {
      {"b8", 1},  {"u8", 1},  {"s8", 1},  {"b16", 2},   {"u16", 2},  {"s16", 2},   {"f16", 2},
      {"b32", 4}, {"u32", 4}, {"s32", 4}, {"f32", 4},   {"bf16", 2}, {"f16x2", 4}, {"bf16x2", 4},
      {"b64", 8}, {"u64", 8}, {"s64", 8}, {"b128", 16}, {"f64", 8},  {"tf32", 4}};
  const auto found = sizes.find(type);
  SEQUELA_CHECK(found != sizes.end(), "unknown PTX type .{}", type);
  return found->second;
}

Variable ReadVariable(Lexer& lexer, std::string_view space) {
  Variable variable{.space = space};
  std::uint64_t element = 0;
  while (lexer.Peek().text.front() == '.') {
    const Token token = lexer.Take();
    if (token.Is(".align")) {
      variable.alignment = Number(lexer.Take()).value;
    } else if (token.Is(".v2") || token.Is(".v4")) {
      SyntaxFault(token.line, "vectors as variables are not understood");
    } else if (token.Is(".ptr")) {  // an attribute of pointers given by value
      if (lexer.Peek().text.front() == '.' && !lexer.Peek().Is(".align")) lexer.Take();
    } else {
      element = BytesOfTypeName(token.text.substr(1));
    }
  }
  variable.name = lexer.Take().text;
  variable.bytes = element;
  variable.alignment = std::max(variable.alignment, element);
  while (lexer.TakeIf("[")) {
    variable.bytes *= lexer.Peek().Is("]") ? 0 : Number(lexer.Take()).value;
    lexer.Expect("]");
  }
  if (lexer.TakeIf("=")) {
    variable.initial = ReadInitial(lexer, element);
    variable.initialised = true;
  }
  return variable;
}

std::vector<Statement> ReadBody(std::string_view text, int first_line) {
  std::vector<Statement> out;
  Lexer lexer(text, first_line);
  while (lexer.Peek().kind != Token::Kind::kEnd) {
    const Token token = lexer.Peek();
    if (token.Is("{") || token.Is("}")) {
      lexer.Take();
      out.push_back({.kind = token.Is("{") ? Statement::Kind::kOpen : Statement::Kind::kClose,
                     .line = token.line});
    } else if (token.Is(".reg")) {
      lexer.Take();
      ReadRegisters(lexer, out);
    } else if (token.Is(".shared") || token.Is(".local") || token.Is(".param")) {
      lexer.Take();
      out.push_back({.kind = Statement::Kind::kVariable, .line = token.line});
      out.back().variable = ReadVariable(lexer, token.text);
      lexer.Expect(";");
    } else if (token.Is(".pragma")) {
      while (!lexer.TakeIf(";")) lexer.Take();
    } else if (token.Is(".loc") || token.Is(".file")) {
      lexer.SkipLine();
    } else if (token.kind == Token::Kind::kWord && token.text.front() != '.') {
      const std::size_t end =
          static_cast<std::size_t>(token.text.data() - text.data()) + token.text.size();
      const std::size_t colon = text.find_first_not_of(" \t", end);
      if (colon != std::string_view::npos && text[colon] == ':') {
        lexer.Take();
        lexer.Expect(":");
        ReadLabel(token, lexer, out);
      } else {
        ReadInstruction(lexer, out);
      }
    } else if (token.Is("@")) {
      ReadInstruction(lexer, out);
    } else {
      SyntaxFault(token.line, fmt::format("'{}' is not understood", token.text));
    }
  }
  return out;
}

}  // namespace sequela::ptx
