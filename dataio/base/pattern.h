// A regular expression (PCRE2, UTF-8). Safe for concurrent use.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace sequela {

class Pattern {
 public:
  // Throws InputError that shows the expression and where it is wrong.
  explicit Pattern(const std::string& expression);
  // Both throw InputError, which shows the expression and not the text, where PCRE2 cannot decide:
  // the expression needs too many steps for this text, or the text is not UTF-8.
  bool Matches(std::string_view text) const;
  // The capture groups from 1 on; empty where the text does not match.
  std::vector<std::string> Groups(std::string_view text) const;

 private:
  std::string expression_;
  std::shared_ptr<void> code_;
};

class PatternSet {
 public:
  explicit PatternSet(const std::vector<std::string>& expressions);
  bool Matches(std::string_view text) const;

 private:
  std::vector<Pattern> patterns_;
};

}  // namespace sequela
