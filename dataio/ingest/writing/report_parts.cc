#include "dataio/ingest/writing/report_parts.h"

#include <algorithm>
#include <cmath>

#include "dataio/ingest/fitting/fallbacks.h"

namespace sequela {

void CountMass(const std::array<std::vector<std::int64_t>, 3>& counts, const Vocabulary& vocabulary,
               IngestReport* report) {
  std::array<std::int64_t, 3> unknown{};
  std::array<std::int64_t, 3> events{};
  for (std::size_t split = 0; split < 3; ++split) {
    for (std::int32_t token = 0; token < vocabulary.size(); ++token) {
      const std::int64_t count = counts[split][static_cast<std::size_t>(token)];
      const TokenEntry& entry = vocabulary[token];
      if (token == vocabulary.unk()) {
        unknown[split] += count;
        report->as_unknown += count;
      } else if (entry.kind == TokenKind::kStatic) {
        report->as_static += count;
      } else if (entry.is_fallback) {
        const auto kind = FallbackKind(entry.text);
        (kind == "parent"       ? report->as_parent
         : kind == "truncation" ? report->as_truncation
                                : report->as_prefix) += count;
      } else if (entry.kind == TokenKind::kCode) {
        report->as_code += count;
      } else if (entry.kind == TokenKind::kValue) {
        (entry.text_result.empty() ? report->as_value : report->as_text) += count;
        if (entry.code.empty()) {  // the event's second token
          report->as_code -= count;
          continue;
        }
      } else {
        continue;
      }
      events[split] += count;
    }
  }
  const auto fraction = [](std::int64_t part, std::int64_t whole) {
    return whole == 0 ? 0.0 : static_cast<double>(part) / static_cast<double>(whole);
  };
  report->unknown_fraction =
      fraction(unknown[0] + unknown[1] + unknown[2], events[0] + events[1] + events[2]);
  report->held_out_unknown_fraction = fraction(unknown[2], events[2]);
}

void AddFindings(const Findings& findings, IngestReport* report) {
  for (std::size_t i = 0; i < Findings::kSize; ++i) {
    const auto finding = static_cast<Finding>(i);
    if (findings[finding] == 0) continue;
    const FindingText& text = TextOf(finding);
    auto& lines = text.kind == FindingKind::kDropped   ? report->dropped
                  : text.kind == FindingKind::kWarning ? report->warnings
                                                       : report->notes;
    lines.push_back({std::string(text.key), std::string(text.text), findings[finding]});
  }
}

std::vector<IngestReport::Drift> FindDrift(const std::vector<std::string>& codes,
                                           const std::vector<std::int64_t>& events_of_code,
                                           const std::map<std::string, double>& train_shares) {
  std::vector<IngestReport::Drift> drift;
  constexpr std::size_t kMost = 20;
  double events = 0.0;
  for (const std::int64_t count : events_of_code) events += static_cast<double>(count);
  for (std::size_t i = 0; i < codes.size(); ++i) {
    const auto then = train_shares.find(codes[i]);
    drift.push_back({codes[i], then == train_shares.end() ? 0.0 : then->second,
                     static_cast<double>(events_of_code[i]) / std::max(events, 1.0)});
  }
  std::stable_sort(drift.begin(), drift.end(), [](const auto& a, const auto& b) {
    return std::abs(a.share_now - a.share_then) > std::abs(b.share_now - b.share_then);
  });
  drift.resize(std::min(drift.size(), kMost));
  return drift;
}

}  // namespace sequela
