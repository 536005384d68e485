// What stands for "none" in columns of records. Both are stored in chain stores: do not change them.
#pragma once

#include <cstdint>
#include <limits>

namespace sequela {

// The time of static facts, such as sex and race, which have none.
inline constexpr std::int64_t kStaticTime = std::numeric_limits<std::int64_t>::min();
// The hospital stay of an event outside of any.
inline constexpr std::int64_t kNoStay = std::numeric_limits<std::int64_t>::min();

}  // namespace sequela
