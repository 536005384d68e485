#include "hwy/highway.h"
#include "kernels/libraries.h"

namespace sequela {

std::string VectorInstructions() {
  const auto usable =
      hwy::SupportedTargets() & static_cast<decltype(hwy::SupportedTargets())>(HWY_TARGETS);
  return hwy::TargetName(usable & -usable);  // the lowest bit is the best
}

}  // namespace sequela
