#include "dataio/ingest/fitting/fallbacks.h"

namespace sequela {
namespace {

constexpr std::string_view kParent = "PARENT//";
constexpr std::string_view kStatic = "STATIC//";

void AddPrefixes(const std::string& code, std::string_view before, std::vector<Fallback>& out) {
  for (auto end = code.rfind("//"); end != std::string::npos && end > 0;
       end = code.rfind("//", end - 1)) {
    const std::string prefix = code.substr(0, end);
    out.push_back({std::string(before) + prefix + "//*", prefix});
  }
}

}  // namespace

FallbackRules::FallbackRules(const IngestSettings& settings)
    : use_parents_(settings.parent_fallback) {
  for (const TruncationRule& rule : settings.truncations) {
    truncations_.push_back({Pattern(rule.pattern), rule.lengths});
  }
}

std::vector<Fallback> FallbackRules::Of(const std::string& code,
                                        const std::vector<std::string>& parents) const {
  std::vector<Fallback> out;
  if (use_parents_) {
    for (const std::string& parent : parents)
      out.push_back({std::string(kParent) + parent, parent});
  }
  for (const Truncation& truncation : truncations_) {
    const std::vector<std::string> groups = truncation.pattern.Groups(code);
    if (groups.size() < 2) continue;
    for (const int length : truncation.lengths) {
      if (static_cast<std::size_t>(length) >= groups[1].size()) continue;
      const std::string shared = groups[0] + groups[1].substr(0, static_cast<std::size_t>(length));
      out.push_back({shared + "*", shared});
    }
    break;
  }
  AddPrefixes(code, "", out);
  return out;
}

std::vector<Fallback> FallbackRules::OfStatic(const std::string& code) const {
  std::vector<Fallback> out;
  AddPrefixes(code, kStatic, out);
  return out;
}

std::string_view FallbackKind(std::string_view token_text) {
  if (token_text.starts_with(kParent)) return "parent";
  return token_text.ends_with("//*") ? "prefix" : "truncation";
}

}  // namespace sequela
