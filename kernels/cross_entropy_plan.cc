#include <cstring>

#include "kernels/base/int_math.h"
#include "kernels/cross_entropy.h"

namespace sequela {

void CrossEntropyPlan::Reserve(std::int64_t max_tokens) {
  rows_.reserve(static_cast<std::size_t>(max_tokens));
}

void CrossEntropyPlan::Build(std::span<const std::int32_t> target, std::int64_t vocabulary) {
  num_tokens_ = std::ssize(target);
  vocabulary_ = vocabulary;
  rows_.clear();
  for (std::size_t t = 0; t < target.size(); ++t) {
    if (target[t] == kNoTarget) continue;
    SEQUELA_CHECK(target[t] >= 0 && target[t] < vocabulary, "target {} of {}", target[t],
                  vocabulary);
    rows_.push_back(narrow<std::int32_t>(t));
  }
}

std::int64_t CrossEntropyPlan::ImageBytes() const { return ImageBytesBound(std::ssize(rows_)); }

std::int64_t CrossEntropyPlan::ImageBytesBound(std::int64_t max_tokens) {
  return max_tokens * static_cast<std::int64_t>(sizeof(std::int32_t));
}

void CrossEntropyPlan::WriteImage(std::span<std::byte> image) const {
  SEQUELA_CHECK(std::ssize(image) >= ImageBytes(), "{} bytes for an image of {}", image.size(),
                ImageBytes());
  if (!rows_.empty()) std::memcpy(image.data(), rows_.data(), rows_.size() * sizeof(std::int32_t));
}

}  // namespace sequela
