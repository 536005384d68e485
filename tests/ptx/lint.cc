#include "tests/ptx/lint.h"

#include <algorithm>
#include <array>
#include <map>
#include <regex>
#include <utility>

namespace sequela::ptx {
namespace {

struct Token {
  std::string
      text;  // a word with its dots and sigils (ld.global.f32, %r1, .entry), or one character
  int line = 0;
};

// The words and punctuation of the text, without comments and strings.
std::vector<Token> Tokens(std::string_view text) {
  static const std::string word_characters =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.%$:";
  std::vector<Token> tokens;
  int line = 1;
  std::size_t i = 0;
  const auto skip_to = [&](std::size_t end) {
    for (end = std::min(end, text.size()); i < end; ++i) line += text[i] == '\n' ? 1 : 0;
  };
  while (i < text.size()) {
    const std::string_view rest = text.substr(i);
    if (rest.starts_with("//")) {
      skip_to(text.find('\n', i));
    } else if (rest.starts_with("/*")) {
      skip_to(text.find("*/", i) + 2);
    } else if (rest.starts_with('"')) {
      skip_to(text.find('"', i + 1) + 1);
    } else if (word_characters.find(rest.front()) != std::string::npos) {
      const std::size_t length = std::min(rest.find_first_not_of(word_characters), rest.size());
      tokens.push_back({std::string(rest.substr(0, length)), line});
      i += length;
    } else {
      if (rest.find_first_not_of(" \t\r\n") != 0) {
        skip_to(i + 1);
        continue;
      }
      tokens.push_back({std::string(1, rest.front()), line});
      ++i;
    }
  }
  return tokens;
}

// Rules that one word can break, wherever it stands.
struct WordRule {
  const char* rule;
  std::regex pattern;
};
const std::vector<WordRule>& WordRules() {
  static const std::vector<WordRule> rules = [] {
    const std::array<std::pair<const char*, const char*>, 9> patterns = {{
        {"call", R"(call(\..*)?)"},
        {"printf", R"(vprintf)"},
        {"malloc", R"(malloc|free|alloca(\..*)?)"},
        {"texture", R"((tex|tld4|txq|suld|sust|sured|suq)\..*|\.(texref|surfref|samplerref))"},
        // The library's tables, its reduction of large angles, and pi, pi / 2 and 2 / pi.
        {"fp64-trig", R"(__cudart_(sin_cos_coeffs|i2opi_d)|__internal_trig_reduction.*|)"
                      R"(0[dD](400921FB54442D18|3FF921FB54442D18|3FE45F306DC9C883))"},
        {"wmma", R"(wmma\..*)"},
        {"float-atomic",
         R"((atom|red|multimem\.red|cp\.reduce)\..*\b(b?f16(x2)?|f32(x2)?|f64|v\d+)\b.*)"},
        {"rounding", R"((mul|add|sub)(?!.*\.r[nzmp]\b).*\.(f32(x2)?|f64))"},
        {"setmaxnreg", R"(setmaxnreg\..*)"},  // kept where .maxntid is missing
    }};
    std::vector<WordRule> made;
    for (const auto& [rule, pattern] : patterns) made.push_back({rule, std::regex(pattern)});
    return made;
  }();
  return rules;
}

std::int64_t BytesOfType(const std::string& type) {
  static const std::regex width(R"(\.[busf](\d+)x?\d*)");
  std::smatch match;
  return std::regex_match(type, match, width) ? std::stoll(match[1]) / 8 : 0;
}

class Linter {
 public:
  Linter(std::string_view text, const LocalBytes& local_bytes)
      : tokens_(Tokens(text)), allowed_local_(local_bytes) {}

  std::vector<Finding> Run() {
    for (at_ = 0; at_ < tokens_.size(); ++at_) {
      const std::string& word = tokens_[at_].text;
      if (word == ".entry") BeginKernel();
      if (word == ".func") Add("function");
      if (word == ".maxntid") bounded_ = true;
      if (word == ".local") local_ += DeclaredBytes();
      if (word == "{" && depth_++ == 0 && !kernel_.empty() && !bounded_) Add("maxntid");
      if (word == "}" && --depth_ == 0) EndKernel();
      if (word.starts_with('%')) continue;
      for (const std::string& rule : BrokenBy(word)) {
        if (rule != "setmaxnreg" || !bounded_) Add(rule);
      }
    }
    return std::move(findings_);
  }

 private:
  // Remembered by word: a module has few different ones, and std::regex takes its time.
  const std::vector<std::string>& BrokenBy(const std::string& word) {
    const auto [entry, is_new] = broken_by_.try_emplace(word);
    if (is_new) {
      for (const WordRule& rule : WordRules()) {
        if (std::regex_match(word, rule.pattern)) entry->second.emplace_back(rule.rule);
      }
    }
    return entry->second;
  }
  void BeginKernel() {
    kernel_ = at_ + 1 < tokens_.size() ? tokens_[at_ + 1].text : "";
    bounded_ = false;
    local_ = 0;
    if (!kernel_.starts_with("sequela_")) Add("name");
  }
  void EndKernel() {
    if (!kernel_.empty() && local_ > allowed_local_(kernel_)) Add("local");
    kernel_.clear();
  }
  // Of `.local .align 8 .b8 name[40];`, the place being at its first word.
  [[nodiscard]] std::int64_t DeclaredBytes() const {
    std::int64_t bytes = 0;
    for (std::size_t i = at_ + 1; i < tokens_.size() && tokens_[i].text != ";"; ++i) {
      if (BytesOfType(tokens_[i].text) > 0) bytes = BytesOfType(tokens_[i].text);
      if (tokens_[i - 1].text == "[") bytes *= std::stoll(tokens_[i].text);
    }
    return bytes;
  }
  void Add(const std::string& rule) {
    std::string line;
    for (const Token& token : tokens_) {
      if (token.line == tokens_[at_].line) line += (line.empty() ? "" : " ") + token.text;
    }
    findings_.push_back({rule, kernel_, tokens_[at_].line, line});
  }

  std::vector<Token> tokens_;
  const LocalBytes& allowed_local_;
  std::vector<Finding> findings_;
  std::map<std::string, std::vector<std::string>> broken_by_;
  std::size_t at_ = 0;
  int depth_ = 0;
  std::string kernel_;      // empty outside kernels
  bool bounded_ = false;    // by .maxntid
  std::int64_t local_ = 0;  // bytes that the kernel declared
};

}  // namespace

std::vector<Finding> Lint(std::string_view text, const LocalBytes& local_bytes) {
  return Linter(text, local_bytes).Run();
}

}  // namespace sequela::ptx
