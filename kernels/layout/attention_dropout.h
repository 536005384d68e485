// What attention's dropout keeps: a function of (seed, stream, document id, row and key within the
// document, head), the same on every backend.
#pragma once

#include <cstdint>

#include "kernels/base/host_device.h"
#include "kernels/base/philox.h"

namespace sequela {

// What all heads and documents share. The host makes it: `key` hashes a name.
struct AttentionDropoutSettings {
  std::uint64_t key = 0;
  std::uint64_t stream = 0;
  float probability = 0.0F;
  float scale = 1.0F;  // 1 / (1 - probability)
};

inline AttentionDropoutSettings MakeAttentionDropoutSettings(float probability, std::uint64_t seed,
                                                             std::uint64_t stream) {
  return {.key = MixBits(seed ^ HashName("attention dropout")),
          .stream = stream,
          .probability = probability,
          .scale = 1.0F / (1.0F - probability)};
}

// Random words for one head of one document.
class AttentionDropoutStream {
 public:
  SEQUELA_HOST_DEVICE AttentionDropoutStream(const AttentionDropoutSettings& settings,
                                             std::int64_t document_id, std::int64_t head)
      : settings_(settings),
        high_(MixBits(settings.stream ^ MixBits(static_cast<std::uint64_t>(document_id))) +
              static_cast<std::uint64_t>(head)) {}

  SEQUELA_HOST_DEVICE bool active() const { return settings_.probability > 0.0F; }
  // Four words for the keys 4 * key_block ... + 3; row and key count from the document's begin.
  SEQUELA_HOST_DEVICE PhiloxBlock Words(std::int64_t row, std::int64_t key_block) const {
    const auto low =
        (static_cast<std::uint64_t>(row) << 32) | static_cast<std::uint64_t>(key_block);
    return Philox(settings_.key, low, high_);
  }
  // The factor of a probability: 0, or what makes up for the dropped ones.
  SEQUELA_HOST_DEVICE float Keep(std::uint32_t word) const {
    return UniformFloat(word) < settings_.probability ? 0.0F : settings_.scale;
  }

 private:
  AttentionDropoutSettings settings_;
  std::uint64_t high_;
};

}  // namespace sequela
