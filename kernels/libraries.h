// What the kernels run on, for --version and for the first lines of a run's log.
#pragma once

#include <string>

namespace sequela {

// The widest instruction set that this processor has and the kernels were compiled for, by
// Highway's name: "AVX2", "AVX3_ZEN4".
std::string VectorInstructions();
// "oneDNN 2.6.3"
std::string MatrixLibrary();

}  // namespace sequela
