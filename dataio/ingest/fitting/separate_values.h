// Vocabularies whose events with a result are two tokens: the code's, then the result's.
#pragma once

#include <vector>

#include "dataio/store/vocabulary.h"

namespace sequela {

// The tokens of a joint vocabulary taken apart. Each code that has a token of any kind keeps or
// gets its plain one, with the edges of its bins; the bins' numbers ("Q1" ...) and the text results
// ("=positive", "=OTHER") become tokens that all codes share, behind the others.
std::vector<TokenEntry> SeparateValues(const std::vector<TokenEntry>& joint);

}  // namespace sequela
