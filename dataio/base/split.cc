#include "dataio/base/split.h"

#include <algorithm>
#include <array>

#include "kernels/base/errors.h"

namespace sequela {
namespace {

constexpr std::array<std::string_view, 3> kSplitNames = {"train", "tuning", "held_out"};

}  // namespace

std::string_view NameOf(Split split) { return kSplitNames[static_cast<std::size_t>(split)]; }

Split ParseSplit(std::string_view name) {
  const auto found = std::find(kSplitNames.begin(), kSplitNames.end(), name);
  if (found == kSplitNames.end()) {
    throw InputError("split \"{}\" is unknown; expected train, tuning or held_out", name);
  }
  return static_cast<Split>(found - kSplitNames.begin());
}

}  // namespace sequela
