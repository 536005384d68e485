// The targets of a batch as CrossEntropy wants them, with the plan that its CUDA version needs, all
// where the backend under test can reach it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/cross_entropy.h"
#include "tests/testing/test_backend.h"

namespace sequela::testing {

struct PlannedTargets {
  PlannedTargets(const std::vector<std::int32_t>& targets, std::int64_t vocabulary)
      : target(Shared(targets)) {
    plan.Build(targets, vocabulary);
    image.resize(static_cast<std::size_t>(plan.ImageBytes()));
    plan.WriteImage(image);
  }

  SharedVector<std::int32_t> target;
  CrossEntropyPlan plan;
  SharedVector<std::byte> image;
};

}  // namespace sequela::testing
