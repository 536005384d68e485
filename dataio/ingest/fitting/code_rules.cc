#include "dataio/ingest/fitting/code_rules.h"

#include <unordered_set>

#include "dataio/base/pattern.h"

namespace sequela {
namespace {

KindRank RankOf(std::string_view code) {
  const std::string_view first = code.substr(0, code.find("//"));
  if (first == "MEDS_BIRTH") return KindRank::kBirth;
  if (first == "MEDS_DEATH") return KindRank::kDeath;
  if (first.find("ADMISSION") != std::string_view::npos) return KindRank::kAdmission;
  if (first.find("DISCHARGE") != std::string_view::npos) return KindRank::kDischarge;
  return KindRank::kOther;
}

bool IsDateOnly(std::int64_t timed, std::int64_t midnight) {
  return timed >= 20 && midnight * 100 >= timed * 95;
}

}  // namespace

std::vector<CodeRule> RulesOf(const std::vector<std::string>& codes, const IngestSettings& settings,
                              const std::vector<std::string>& kept,
                              const std::vector<std::int64_t>& timed,
                              const std::vector<std::int64_t>& midnight) {
  const PatternSet statics(settings.static_codes);
  const PatternSet keeps(settings.keep_codes);
  const std::unordered_set<std::string> kept_exactly(kept.begin(), kept.end());
  std::vector<std::pair<Pattern, const ValueRule*>> values;
  for (const ValueRule& rule : settings.values) values.emplace_back(Pattern(rule.pattern), &rule);
  std::vector<CodeRule> rules(codes.size());
  for (std::size_t i = 0; i < codes.size(); ++i) {
    CodeRule& rule = rules[i];
    rule.rank = RankOf(codes[i]);
    rule.is_static = statics.Matches(codes[i]);
    rule.is_kept = kept_exactly.contains(codes[i]) || keeps.Matches(codes[i]);
    rule.is_date_only = rule.rank != KindRank::kBirth && IsDateOnly(timed[i], midnight[i]);
    for (const auto& [pattern, value] : values) {
      if (!pattern.Matches(codes[i])) continue;
      rule.has_value_rule = true;
      rule.factor = value->factor;
      rule.minimum = value->minimum;
      rule.maximum = value->maximum;
      break;
    }
  }
  return rules;
}

}  // namespace sequela
