#include "kernels/base/printable_text.h"

#include <fmt/format.h>

#include <cstdint>

namespace sequela {
namespace {

struct Character {
  std::uint32_t code = 0;
  std::size_t bytes = 0;  // 0: no UTF-8
};

// The first character, if it is UTF-8 in its shortest form and no surrogate.
Character FirstOf(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const std::size_t bytes = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < bytes) return {};
  std::uint32_t code = lead & (0x7FU >> bytes);
  for (std::size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xC0U) != 0x80U) return {};
    code = code << 6 | (byte(i) & 0x3FU);
  }
  const std::uint32_t least = bytes == 2 ? 0x80 : bytes == 3 ? 0x800 : 0x10000;
  const bool surrogate = code >= 0xD800 && code <= 0xDFFF;
  if (code < least || code > 0x10FFFF || surrogate) return {};
  return {code, bytes};
}

// Control characters (C0, delete, C1), line and paragraph separators, marks of direction.
bool IsUnsafe(std::uint32_t code) {
  return code < 0x20 || (code >= 0x7F && code <= 0x9F) || (code >= 0x200E && code <= 0x200F) ||
         (code >= 0x2028 && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069);
}

}  // namespace

std::string Printable(std::string_view text, std::size_t most_bytes) {
  std::string safe;
  while (!text.empty()) {
    const Character character = FirstOf(text);
    std::string shown(text.substr(0, character.bytes));
    if (character.bytes == 0) {
      shown = fmt::format("\\x{:02x}", static_cast<unsigned char>(text[0]));
    } else if (IsUnsafe(character.code)) {
      shown = character.code < 0x100 ? fmt::format("\\x{:02x}", character.code)
                                     : fmt::format("\\u{:04x}", character.code);
    }
    if (safe.size() + shown.size() > most_bytes) return safe + "...";
    safe += shown;
    text.remove_prefix(character.bytes == 0 ? 1 : character.bytes);
  }
  return safe;
}

std::string PrintableLines(std::string_view text) {
  std::string safe;
  for (;;) {
    const std::size_t end = text.find('\n');
    safe += Printable(text.substr(0, end), std::string_view::npos);
    if (end == std::string_view::npos) return safe;
    safe += '\n';
    text.remove_prefix(end + 1);
  }
}

}  // namespace sequela
