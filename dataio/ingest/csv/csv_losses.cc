#include "dataio/ingest/csv/csv_losses.h"

#include <numeric>

#include "kernels/base/errors.h"

namespace sequela {
namespace {

struct Words {
  std::string_view found;
  std::string_view remedy;
};

constexpr std::array<Words, kNumLosses> kWords = {{
    {"have no subject: the column is empty or says NULL", "Fill the column"},
    {"have a key that the table of anchors does not have",
     "Check that both tables are of one extract and name the key that they share"},
    {"have no time: the column is empty or says NULL",
     "Say what an empty time means by `empty_time: skip` (no event) or `empty_time: static` (a "
     "fact "
     "without time)"},
    {"have a time that cannot be read",
     "ISO 8601 is read (2019-12-31 10:45:00), and what `time_format` says by strptime's letters; "
     "offsets are numbers of minutes"},
    {"lie outside of their stay, which begins a day before its start",
     "Check that the offsets are minutes and count from the key's zero"},
    {"have a value that is no number, which `require_value` wants",
     "Write numbers with a decimal point, give texts by `numbers`, or leave out `require_value`"},
}};

}  // namespace

std::int64_t LossCounts::total() const {
  return std::accumulate(count.begin(), count.end(), std::int64_t{0});
}

void RequireFewLost(const std::string& what, const LossCounts& lost, std::int64_t of, double share,
                    const LossSet& allowed) {
  for (std::size_t i = 0; i < kNumLosses; ++i) {
    if (allowed[i]) continue;
    if (static_cast<double>(lost.count[i]) <= share * static_cast<double>(of)) continue;
    throw InputError(
        "{}: {} of {} rows {}; more than {:.3g} % are an error (`lost_share`). {}, or allow it: "
        "`allow_lost: [{}]` in the table's mapping.",
        what, lost.count[i], of, kWords[i].found, 100.0 * share, kWords[i].remedy, kLossNames[i]);
  }
}

}  // namespace sequela
