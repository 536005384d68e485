// What a field of a table says: nothing, a number, a time of day. Safe for concurrent use.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace sequela {

// Without blanks and line ends at either end.
std::string_view Trim(std::string_view text);

// Whether a text stands for no value: empty, or, whatever its case, null, nan, nat, na, n/a, #n/a,
// none, <na>, (null) or \n written with a backslash.
bool IsMissing(std::string_view text);

// The number that a text says, also by `numbers` ("> 89": "90"); NaN for none. Never infinite.
double NumberOf(const std::map<std::string, std::string>& numbers, std::string_view text);

// Microseconds since midnight of "hh:mm", "hh:mm:ss"; nothing where the text says no such time.
std::optional<std::int64_t> TimeOfDay(std::string_view text);

}  // namespace sequela
