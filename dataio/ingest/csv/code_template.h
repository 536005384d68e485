// How a row's columns make a code. Safe for concurrent use.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sequela {

// "RESP//{label}//{path|last:2:/}": literals and columns, each column through filters.
class CodeTemplate {
 public:
  // Throws InputError that shows what is wrong.
  explicit CodeTemplate(const std::string& text);
  const std::vector<std::string>& columns() const { return columns_; }
  const std::string& text() const { return text_; }  // as the mapping has it
  // `row[i]`: text of columns()[i]. Blanks are trimmed and collapsed, columns cut at 128 bytes (not
  // with the filter `exact`). Empty columns print as UNK; `*complete` tells whether none was empty.
  std::string Expand(const std::vector<std::string_view>& row, bool* complete) const;

 private:
  struct Filter {
    enum class Kind : std::uint8_t { kExact, kUpper, kLast, kAfter, kDropLast, kPositive } kind;
    int count = 0;
    std::string separator;
  };
  struct Part {
    std::string literal;  // before the column
    std::optional<std::size_t> column;
    std::vector<Filter> filters;
  };
  static Filter ParseFilter(const std::string& text);
  static std::string Filtered(std::string text, const Filter& filter);
  static std::string ColumnText(const Part& part, std::string_view given);
  std::string text_;
  std::vector<Part> parts_;
  std::vector<std::string> columns_;
};

}  // namespace sequela
