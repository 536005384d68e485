#include "dataio/loader/sample_order.h"

#include "kernels/base/check.h"
#include "kernels/base/philox.h"

namespace sequela {
namespace {

// Four rounds are seen in the order of few samples (sample_order_test.cc); eight are not.
constexpr std::uint64_t kRounds = 8;

}  // namespace

SampleOrder::SampleOrder(std::int64_t size, std::uint64_t seed, std::int64_t epoch, bool shuffle)
    : size_(size),
      key_(MixBits(seed + MixBits(HashName("sample order") ^ static_cast<std::uint64_t>(epoch)))),
      half_bits_(1),
      shuffle_(shuffle) {
  SEQUELA_CHECK(size > 0 && size <= std::int64_t{1} << 60, "{} samples", size);
  while ((std::int64_t{1} << (2 * half_bits_)) < size) ++half_bits_;
}

std::uint64_t SampleOrder::Permute(std::uint64_t value) const {
  const std::uint64_t mask = (std::uint64_t{1} << half_bits_) - 1;
  std::uint64_t left = value >> half_bits_;
  std::uint64_t right = value & mask;
  for (std::uint64_t round = 0; round < kRounds; ++round) {
    const std::uint64_t mixed = left ^ (Philox(key_, right, round)[0] & mask);
    left = right;
    right = mixed;
  }
  return (left << half_bits_) | right;
}

std::int64_t SampleOrder::At(std::int64_t index) const {
  SEQUELA_CHECK(index >= 0 && index < size_, "{} of {}", index, size_);
  if (!shuffle_) return index;
  // A walk along the cycle of the larger permutation that `index` lies on, back into [0, size): the
  // map from entry to next entry is a permutation of [0, size).
  auto value = static_cast<std::uint64_t>(index);
  do {
    value = Permute(value);
  } while (value >= static_cast<std::uint64_t>(size_));
  return static_cast<std::int64_t>(value);
}

}  // namespace sequela
