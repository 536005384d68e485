// Rows and events that ingest-csv leaves out although the mapping wants them, by reason: nothing is
// lost without a count, and many for one reason are an error.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sequela {

enum class Loss : std::uint8_t {
  kNoSubject,       // the subject's or the key's column is empty
  kUnknownKey,      // no anchor has the row's key
  kNoTime,          // the time's column is empty
  kUnreadableTime,  // and here it holds something else than a time
  kOutsideStay,     // before a day before its stay, or after its end
  kNoNumber,        // require_value, and the value is text other than a number
};
inline constexpr std::size_t kNumLosses = 6;
// As a mapping's `allow_lost` and the report have them.
inline constexpr std::array<std::string_view, kNumLosses> kLossNames = {
    "no_subject", "unknown_key", "no_time", "unreadable_time", "outside_stay", "no_number"};

// By reason.
using LossSet = std::array<bool, kNumLosses>;
struct LossCounts {
  std::array<std::int64_t, kNumLosses> count{};
  std::int64_t& operator[](Loss loss) { return count[static_cast<std::size_t>(loss)]; }
  std::int64_t operator[](Loss loss) const { return count[static_cast<std::size_t>(loss)]; }
  std::int64_t total() const;
};

// Throws InputError where, of the `of` rows that `what` wants ("labs.csv, event \"LAB//{item}\""),
// more than `share` are lost for one reason that is not in `allowed`.
void RequireFewLost(const std::string& what, const LossCounts& lost, std::int64_t of, double share,
                    const LossSet& allowed);

}  // namespace sequela
