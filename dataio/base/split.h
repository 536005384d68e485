// The three parts of a dataset: models are fitted on train, chosen on tuning, judged on held_out.
#pragma once

#include <cstdint>
#include <string_view>

namespace sequela {

// The values are stored in /subject/split: do not change them.
enum class Split : std::uint8_t { kTrain = 0, kTuning = 1, kHeldOut = 2 };

std::string_view NameOf(Split split);     // "train", "tuning", "held_out"
Split ParseSplit(std::string_view name);  // throws InputError listing the three names

}  // namespace sequela
