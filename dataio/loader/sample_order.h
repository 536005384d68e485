// The order in which an epoch visits the windows: a function of (seed, epoch, index) alone,
// computed on the spot. Nothing is shuffled and nothing is stored, whatever the number of windows.
#pragma once

#include <cstdint>

namespace sequela {

// A permutation of [0, size): an eight-round Feistel network with Philox as the round function over
// the smallest even number of bits that holds `size`, walked until it lands inside (Black and
// Rogaway, "Ciphers with arbitrary finite domains", 2002). Safe for concurrent use.
class SampleOrder {
 public:
  // REQUIRES: size > 0. `shuffle` false: the identity.
  SampleOrder(std::int64_t size, std::uint64_t seed, std::int64_t epoch, bool shuffle = true);

  // REQUIRES: 0 <= index < size.
  std::int64_t At(std::int64_t index) const;

 private:
  std::uint64_t Permute(std::uint64_t value) const;

  std::int64_t size_;
  std::uint64_t key_;
  int half_bits_;
  bool shuffle_;
};

}  // namespace sequela
