// The words that decide what dropout drops (kernels/dropout.h), the same on host and device.
#pragma once

#include <cstdint>

#include "kernels/base/host_device.h"
#include "kernels/base/philox.h"

namespace sequela {

// The key of one mask. `purpose` names layer and site: HashName("layers.3.mlp").
SEQUELA_HOST_DEVICE constexpr std::uint64_t DropoutKey(std::uint64_t seed, std::uint64_t purpose,
                                                       std::uint64_t step) {
  return MixBits(MixBits(seed ^ MixBits(purpose)) + step);
}

// The word that decides over channels 4 b to 4 b + 3: word i of this block for channel 4 b + i.
SEQUELA_HOST_DEVICE inline PhiloxBlock DropoutBlock(std::uint64_t key, std::int64_t sample,
                                                    std::int32_t position, std::uint32_t block) {
  return Philox(key, static_cast<std::uint64_t>(sample),
                (static_cast<std::uint64_t>(static_cast<std::uint32_t>(position)) << 32) | block);
}

}  // namespace sequela
