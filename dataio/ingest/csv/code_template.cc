#include "dataio/ingest/csv/code_template.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>

#include "kernels/base/errors.h"

namespace sequela {
namespace {

constexpr std::size_t kLongestColumn = 128;

std::vector<std::string> Cut(const std::string& text, const std::string& separator) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  for (std::size_t end; (end = text.find(separator, begin)) != std::string::npos;
       begin = end + separator.size()) {
    parts.push_back(text.substr(begin, end - begin));
  }
  parts.push_back(text.substr(begin));
  return parts;
}

// Trimmed, runs of blanks as one, cut at a character boundary.
std::string Tidy(std::string_view text) {
  std::string tidy;
  for (const char c : text) {
    const bool blank = c == ' ' || c == '\t' || c == '\n' || c == '\r';
    if (!blank) {
      tidy.push_back(c);
    } else if (!tidy.empty() && tidy.back() != ' ') {
      tidy.push_back(' ');
    }
  }
  if (tidy.size() > kLongestColumn) {
    std::size_t end = kLongestColumn;
    while (end > 0 && (static_cast<unsigned char>(tidy[end]) & 0xC0U) == 0x80U) --end;
    tidy.resize(end);
  }
  while (!tidy.empty() && tidy.back() == ' ') tidy.pop_back();
  return tidy;
}

// The last `count` parts, or as many as there are.
std::string LastWords(const std::string& text, const std::string& separator, std::size_t count) {
  const std::vector<std::string> words = Cut(text, separator);
  std::string last;
  for (std::size_t i = words.size() - std::min(words.size(), count); i < words.size(); ++i) {
    last += (last.empty() ? "" : separator) + words[i];
  }
  return last;
}

}  // namespace

CodeTemplate::Filter CodeTemplate::ParseFilter(const std::string& text) {
  std::vector<std::string> words = Cut(text, ":");
  if (words.back() == "pipe") words.back() = "|";  // which itself parts filters
  if (text == "exact") return {Filter::Kind::kExact, 0, ""};
  if (text == "upper") return {Filter::Kind::kUpper, 0, ""};
  if (text == "positive") return {Filter::Kind::kPositive, 0, ""};
  const bool separator = !words.back().empty();
  if (separator && words.size() == 3 && words[0] == "last") {
    int count = 0;
    const char* end = words[1].data() + words[1].size();
    const auto [read, error] = std::from_chars(words[1].data(), end, count);
    if (error == std::errc() && read == end && count > 0) {
      return {Filter::Kind::kLast, count, words[2]};
    }
  }
  if (separator && words.size() == 2 && words[0] == "after") {
    return {Filter::Kind::kAfter, 0, words[1]};
  }
  if (separator && words.size() == 2 && words[0] == "droplast") {
    return {Filter::Kind::kDropLast, 0, words[1]};
  }
  throw InputError(
      "\"|{}\": known filters are exact, upper, positive, last:N:SEPARATOR (N from 1), after:TEXT, "
      "droplast:SEPARATOR; separators and texts are not empty",
      text);
}

CodeTemplate::CodeTemplate(const std::string& text) : text_(text) {
  if (text.empty()) throw InputError("an empty code");
  std::size_t at = 0;
  while (at < text.size()) {
    Part part;
    const std::size_t open = text.find('{', at);
    part.literal = text.substr(at, open - at);
    at = text.size();
    if (open != std::string::npos) {
      const std::size_t close = text.find('}', open);
      if (close == std::string::npos) throw InputError("\"{}\": a {{ without its }}", text);
      const std::vector<std::string> words = Cut(text.substr(open + 1, close - open - 1), "|");
      if (words[0].empty()) throw InputError("\"{}\": a {{}} without a column's name", text);
      const auto known = std::find(columns_.begin(), columns_.end(), words[0]);
      part.column = static_cast<std::size_t>(known - columns_.begin());
      if (known == columns_.end()) columns_.push_back(words[0]);
      for (std::size_t i = 1; i < words.size(); ++i) part.filters.push_back(ParseFilter(words[i]));
      at = close + 1;
    }
    parts_.push_back(std::move(part));
  }
}

std::string CodeTemplate::Filtered(std::string text, const Filter& filter) {
  const std::size_t found =
      filter.separator.empty() ? std::string::npos : text.rfind(filter.separator);
  switch (filter.kind) {
    case Filter::Kind::kExact:  // of Expand
      break;
    case Filter::Kind::kUpper:
      for (char& c : text) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
      break;
    case Filter::Kind::kPositive:
      if (std::atof(text.c_str()) <= 0.0) text.clear();
      break;
    case Filter::Kind::kAfter:
      if (found != std::string::npos) text = text.substr(found + filter.separator.size());
      break;
    case Filter::Kind::kDropLast:
      if (found != std::string::npos) text.resize(found);
      break;
    case Filter::Kind::kLast:
      text = LastWords(text, filter.separator, static_cast<std::size_t>(filter.count));
      break;
  }
  return text;
}

// A column's text through its filters; tidied where none of them is `exact`.
std::string CodeTemplate::ColumnText(const Part& part, std::string_view given) {
  std::string text(given);
  bool exact = false;
  for (const Filter& filter : part.filters) {
    exact = exact || filter.kind == Filter::Kind::kExact;
    text = Filtered(std::move(text), filter);
  }
  return exact ? text : Tidy(text);
}

std::string CodeTemplate::Expand(const std::vector<std::string_view>& row, bool* complete) const {
  std::string code;
  *complete = true;
  for (const Part& part : parts_) {
    code += part.literal;
    if (!part.column) continue;
    const std::string text = ColumnText(part, row[*part.column]);
    *complete = *complete && !text.empty();
    code += text.empty() ? "UNK" : text;
  }
  return code;
}

}  // namespace sequela
