// A program that includes this runs on the interpreter alone, whatever backend it is asked for.
#pragma once

#include <cstdlib>

namespace sequela::ptx {

// Set before the first test, and read there.
inline const bool kOnPtx = setenv("SEQUELA_TEST_BACKEND", "ptx", 1) == 0;

}  // namespace sequela::ptx
