#include "trainer/model/initializer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "kernels/base/philox.h"

namespace sequela {
namespace {

// Four standard normals from one block (Box and Muller 1958).
std::array<double, 4> NormalsOf(const PhiloxBlock& block) {
  std::array<double, 4> normals;
  for (std::size_t pair = 0; pair < 2; ++pair) {
    const double uniform = (static_cast<double>(block[2 * pair]) + 0.5) * 0x1.0p-32;
    const double radius = std::sqrt(-2.0 * std::log(uniform));
    const double angle =
        2.0 * std::numbers::pi * static_cast<double>(block[2 * pair + 1]) * 0x1.0p-32;
    normals[2 * pair] = radius * std::cos(angle);
    normals[2 * pair + 1] = radius * std::sin(angle);
  }
  return normals;
}

void FillNormal(std::uint64_t key, double deviation, std::span<float> values) {
  for (std::size_t begin = 0; begin < values.size(); begin += 4) {
    const std::array<double, 4> normals = NormalsOf(Philox(key, begin / 4, 0));
    const std::size_t count = std::min<std::size_t>(4, values.size() - begin);
    for (std::size_t i = 0; i < count; ++i) {
      values[begin + i] = static_cast<float>(deviation * normals[i]);
    }
  }
}

}  // namespace

void InitializeParameter(const ModelConfig& config, const ParameterPiece& piece, std::uint64_t seed,
                         std::span<float> values) {
  SEQUELA_CHECK(static_cast<std::int64_t>(values.size()) == piece.size());
  if (piece.num_dims == 1) {
    std::fill(values.begin(), values.end(), piece.name.ends_with(".bias") ? 0.0F : 1.0F);
    return;
  }
  const bool adds_to_residual =
      piece.name.ends_with("o_proj.weight") || piece.name.ends_with("down_proj.weight");
  const double deviation =
      config.initializer_range /
      (adds_to_residual ? std::sqrt(2.0 * static_cast<double>(config.num_hidden_layers)) : 1.0);
  FillNormal(MixBits(seed ^ MixBits(HashName(piece.name))), deviation, values);
}

}  // namespace sequela
