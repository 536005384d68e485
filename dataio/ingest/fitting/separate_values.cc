#include "dataio/ingest/fitting/separate_values.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <string>

namespace sequela {
namespace {

constexpr char kOther[] = "OTHER";

TokenEntry PlainToken(const std::string& code) {
  TokenEntry entry;
  entry.text = code;
  entry.kind = TokenKind::kCode;
  entry.code = code;
  return entry;
}

class Separator {
 public:
  std::vector<TokenEntry> Separate(const std::vector<TokenEntry>& joint) {
    for (const TokenEntry& entry : joint) texts_.insert(entry.text);
    for (const TokenEntry& entry : joint) {
      if (entry.kind != TokenKind::kValue) {
        tokens_.push_back(entry);
        continue;
      }
      // A code's value tokens stand behind its plain one, where it has one.
      const TokenEntry& last = tokens_.back();
      if (last.kind != TokenKind::kCode || last.is_fallback || last.code != entry.code) {
        tokens_.push_back(PlainToken(entry.code));
      }
      TakeResult(entry);
    }
    AddShared();
    return std::move(tokens_);
  }

 private:
  void TakeResult(const TokenEntry& entry) {
    if (!entry.has_numeric_bin()) {
      (entry.text_result == kOther ? others_ : results_).insert(entry.text_result);
    } else if (!std::isinf(entry.bin_upper)) {
      std::vector<float>& edges = tokens_.back().value_edges;
      edges.push_back(entry.bin_upper);
      most_edges_ = std::max(most_edges_, edges.size());
    }
  }

  void AddShared() {
    for (std::size_t bin = 1; most_edges_ > 0 && bin <= most_edges_ + 1; ++bin) {
      TokenEntry& entry = AddValue(fmt::format("Q{}", bin));
      entry.bin_number = static_cast<std::int32_t>(bin);
    }
    for (const auto* results : {&results_, &others_}) {
      for (const std::string& result : *results) AddValue("=" + result).text_result = result;
    }
  }

  TokenEntry& AddValue(std::string text) {
    while (!texts_.insert(text).second) text += "~";
    TokenEntry& entry = tokens_.emplace_back();
    entry.text = std::move(text);
    entry.kind = TokenKind::kValue;
    return entry;
  }

  std::vector<TokenEntry> tokens_;
  std::set<std::string> texts_;
  std::set<std::string> results_;
  std::set<std::string> others_;
  std::size_t most_edges_ = 0;
};

}  // namespace

std::vector<TokenEntry> SeparateValues(const std::vector<TokenEntry>& joint) {
  return Separator().Separate(joint);
}

}  // namespace sequela
