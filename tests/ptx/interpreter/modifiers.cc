// The parts of an opcode: types and modifiers.
#include <algorithm>
#include <map>

#include "tests/ptx/interpreter/decoder.h"

namespace sequela::ptx {

std::optional<Type> TypeByName(std::string_view name) {
  static const std::map<std::string_view, Type> types = {
      {"pred", Type::kPred},     {"b8", Type::kB8},     {"u8", Type::kU8},
      {"s8", Type::kS8},         {"b16", Type::kB16},   {"u16", Type::kU16},
      {"s16", Type::kS16},       {"f16", Type::kF16},   {"bf16", Type::kBf16},
      {"b32", Type::kB32},       {"u32", Type::kU32},   {"s32", Type::kS32},
      {"f32", Type::kF32},       {"tf32", Type::kTf32}, {"f16x2", Type::kF16x2},
      {"bf16x2", Type::kBf16x2}, {"b64", Type::kB64},   {"u64", Type::kU64},
      {"s64", Type::kS64},       {"f64", Type::kF64}};
  const auto found = types.find(name);
  return found == types.end() ? std::nullopt : std::optional(found->second);
}

std::size_t BytesOf(Type type) {
  if (type <= Type::kS8) return 1;
  if (type <= Type::kBf16) return 2;
  return type <= Type::kBf16x2 ? 4 : 8;
}

bool IsSigned(Type type) {
  return type == Type::kS8 || type == Type::kS16 || type == Type::kS32 || type == Type::kS64;
}

bool IsFloat(Type type) {
  return type == Type::kF16 || type == Type::kBf16 || type == Type::kF32 || type == Type::kTf32 ||
         type == Type::kF16x2 || type == Type::kBf16x2 || type == Type::kF64;
}

Modifiers::Modifiers(std::string_view opcode) {
  std::size_t dot = opcode.find('.');
  root_ = opcode.substr(0, dot);
  while (dot != std::string_view::npos) {
    const std::size_t next = opcode.find('.', dot + 1);
    parts_.push_back(
        opcode.substr(dot + 1, next == std::string_view::npos ? next : next - dot - 1));
    dot = next;
  }
}

bool Modifiers::Take(std::string_view modifier) {
  const auto found = std::find(parts_.begin(), parts_.end(), modifier);
  if (found == parts_.end()) return false;
  parts_.erase(found);
  return true;
}

int Modifiers::TakeOneOf(std::initializer_list<std::string_view> choices) {
  int index = 0;
  for (const std::string_view choice : choices) {
    if (Take(choice)) return index;
    ++index;
  }
  return -1;
}

void Modifiers::DropHints() {
  std::erase_if(parts_, [](std::string_view part) {
    static constexpr std::string_view kHints[] = {"ca", "cg", "cs", "lu", "cv", "wb", "wt", "nc"};
    return part.substr(0, 4) == "L1::" || part.substr(0, 4) == "L2::" ||
           std::find(std::begin(kHints), std::end(kHints), part) != std::end(kHints);
  });
}

std::optional<Type> Modifiers::TakeType() {
  for (auto part = parts_.begin(); part != parts_.end(); ++part) {
    const std::optional<Type> type = TypeByName(*part);
    if (!type) continue;
    parts_.erase(part);
    return type;
  }
  return std::nullopt;
}

std::string Modifiers::Left() const {
  std::string left;
  for (const std::string_view part : parts_) {
    left += (left.empty() ? "" : ".") + std::string(part);
  }
  return left;
}

}  // namespace sequela::ptx
