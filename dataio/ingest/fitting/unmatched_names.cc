#include "dataio/ingest/fitting/unmatched_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "dataio/base/pattern.h"
#include "dataio/base/settings_reader.h"

namespace sequela {
namespace {

struct NamedPattern {
  std::string_view key;  // of the settings
  std::string pattern;
};

std::vector<NamedPattern> PatternsOf(const IngestSettings& settings) {
  std::vector<NamedPattern> all;
  for (const std::string& pattern : settings.static_codes) all.push_back({"static_codes", pattern});
  for (const std::string& pattern : settings.keep_codes) all.push_back({"keep_codes", pattern});
  for (const ValueRule& rule : settings.values) all.push_back({"values", rule.pattern});
  for (const TruncationRule& rule : settings.truncations) {
    all.push_back({"truncations", rule.pattern});
  }
  return all;
}

bool IsDefault(const NamedPattern& named) {
  static const std::vector<NamedPattern> defaults = PatternsOf(IngestSettings{});
  return std::any_of(defaults.begin(), defaults.end(), [&](const NamedPattern& known) {
    return known.key == named.key && known.pattern == named.pattern;
  });
}

// The nearest code takes a walk over all of them: for the names that are shown only.
constexpr std::size_t kMostAdvised = 5;

}  // namespace

std::vector<std::string> UnmatchedNames(const std::vector<std::string>& codes,
                                        const IngestSettings& settings,
                                        const std::vector<std::string>& kept) {
  std::vector<std::string> unmatched;
  for (const std::string& code : kept) {
    if (std::binary_search(codes.begin(), codes.end(), code)) continue;
    const std::string nearest =
        unmatched.size() < kMostAdvised ? NearestOf(code, codes) : std::string();
    unmatched.push_back(
        fmt::format("--keep-codes: {}{}", code,
                    nearest.empty() ? "" : fmt::format(" (did you mean {}?)", nearest)));
  }
  for (const NamedPattern& named : PatternsOf(settings)) {
    if (IsDefault(named)) continue;
    const Pattern pattern(named.pattern);
    if (std::any_of(codes.begin(), codes.end(),
                    [&](const std::string& code) { return pattern.Matches(code); })) {
      continue;
    }
    unmatched.push_back(fmt::format("{}: {}", named.key, named.pattern));
  }
  return unmatched;
}

}  // namespace sequela
