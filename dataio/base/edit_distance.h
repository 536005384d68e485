// How unlike two words are, for "did you mean".
#pragma once

#include <cstddef>
#include <string_view>

namespace sequela {

// The fewest bytes to insert, delete or replace that turn `a` into `b` (Levenshtein's distance).
std::size_t EditDistance(std::string_view a, std::string_view b);

}  // namespace sequela
