// What a code's name says about its events, looked up once per code.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dataio/ingest/ingest_settings.h"

namespace sequela {

// The order of kinds within one time stamp.
enum class KindRank : std::uint8_t { kBirth, kAdmission, kOther, kDischarge, kDeath };

struct CodeRule {
  KindRank rank = KindRank::kOther;
  bool is_static = false;  // on the allow-list of static facts
  bool is_kept = false;    // has its token however rare
  bool is_date_only = false;
  bool has_value_rule = false;
  double factor = 1.0;
  double minimum = 0.0;
  double maximum = 0.0;
};

// For each of `codes`. `kept`: exact codes that have their token besides the settings' patterns.
// `timed` and `midnight`: how many timed events each code has, and how many of them at 00:00:00.
std::vector<CodeRule> RulesOf(const std::vector<std::string>& codes, const IngestSettings& settings,
                              const std::vector<std::string>& kept,
                              const std::vector<std::int64_t>& timed,
                              const std::vector<std::int64_t>& midnight);

}  // namespace sequela
