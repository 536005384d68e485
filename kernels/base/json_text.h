// JSON of files that somebody else may have written: checked before it is parsed, so that neither
// deep nesting (nlohmann's functions recurse) nor sheer size ends the process. All JSON of files is
// parsed here. Header only: kernels/ itself needs no JSON library.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <type_traits>

#include "kernels/base/atomic_file.h"
#include "kernels/base/errors.h"

namespace sequela {

// Files of this program nest at most seven levels.
inline constexpr int kMaxJsonDepth = 64;
inline constexpr std::uint64_t kMaxJsonBytes = std::uint64_t{1} << 30;
// nlohmann::ordered_json looks through all members of an object for each one that it adds.
inline constexpr std::uint64_t kMaxOrderedMembers = 2000;

// What a text that may be JSON looks like from outside its strings.
struct JsonOutline {
  int depth = 0;                   // deepest nesting; counting ends beyond kMaxJsonDepth
  std::uint64_t root_members = 0;  // of the outermost object, equal names counted as often as there
  std::uint64_t most_members = 0;  // of the objects of one level together, at most of any level
};

inline JsonOutline OutlineJson(std::string_view text) {
  JsonOutline outline;
  std::array<std::uint64_t, kMaxJsonDepth + 1> members{};  // by level, of the object begun last
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size() && depth <= kMaxJsonDepth; ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      outline.depth = std::max(outline.depth, ++depth);
      if (depth <= kMaxJsonDepth) members[static_cast<std::size_t>(depth)] = 0;
    } else if (c == '}' || c == ']') {
      depth = std::max(0, depth - 1);
    } else if (c == ':') {
      const std::uint64_t count = ++members[static_cast<std::size_t>(depth)];
      outline.most_members = std::max(outline.most_members, count);
      if (depth == 1) outline.root_members = count;
    }
  }
  return outline;
}

// "line 3, column 17" of a byte of the text.
inline std::string JsonPlace(std::string_view text, std::size_t byte) {
  const std::string_view before = text.substr(0, std::min(byte, text.size()));
  const std::size_t line_begin = before.rfind('\n') + 1;  // npos + 1 is 0
  return fmt::format("line {}, column {}", 1 + std::count(before.begin(), before.end(), '\n'),
                     std::max<std::size_t>(1, before.size() - line_begin));
}

// Parses a whole text as JSON. Throws InputError naming the file and the place of the first fault,
// never its content: it may be a patient's. `max_depth` is at most kMaxJsonDepth.
template <typename Json = nlohmann::json>
Json ParseJsonText(std::string_view text, const std::filesystem::path& file,
                   int max_depth = kMaxJsonDepth) {
  if (text.size() > kMaxJsonBytes) {
    throw InputError("{}: has {} bytes; at most {} are read as JSON", file.string(), text.size(),
                     kMaxJsonBytes);
  }
  const JsonOutline outline = OutlineJson(text);
  if (outline.depth > max_depth) {
    throw InputError("{}: not valid JSON: nested deeper than {} levels", file.string(), max_depth);
  }
  if (std::is_same_v<Json, nlohmann::ordered_json> && outline.most_members > kMaxOrderedMembers) {
    throw InputError("{}: not valid JSON: an object has {} members, expected at most {}",
                     file.string(), outline.most_members, kMaxOrderedMembers);
  }
  try {
    return Json::parse(text);
  } catch (const nlohmann::json::parse_error& error) {
    throw InputError("{}: not valid JSON at {}. The file is damaged, or no JSON file.",
                     file.string(), JsonPlace(text, error.byte));
  } catch (const nlohmann::json::exception&) {  // a number beyond the range of a double
    throw InputError("{}: not valid JSON: it holds a number that is out of range", file.string());
  }
}

// The same of a file. Throws InputError, too, where it cannot be read or is too large.
template <typename Json = nlohmann::json>
Json ReadJsonFile(const std::filesystem::path& file) {
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(file, error);
  if (!error && size > kMaxJsonBytes) {
    throw InputError("{}: has {} bytes; at most {} are read as JSON", file.string(), size,
                     kMaxJsonBytes);
  }
  return ParseJsonText<Json>(ReadFile(file), file);
}

// A document as text, on one line or indented. Bytes that are no UTF-8 (names of files may hold any)
// become U+FFFD each, so that the text is valid JSON.
template <typename Json>
std::string JsonToText(const Json& json, int indent = -1) {
  return json.dump(indent, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace);
}

}  // namespace sequela
