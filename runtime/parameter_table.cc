#include "runtime/parameter_table.h"

#include <algorithm>
#include <utility>

#include "kernels/base/bf16.h"
#include "kernels/base/check.h"
#include "kernels/base/int_math.h"

namespace sequela {
namespace {

constexpr std::int64_t kPieceAlignment = 32;

}  // namespace

int ParameterTable::AddMatrix(std::string name, std::int64_t rows, std::int64_t columns,
                              bool joined) {
  return Add({.name = std::move(name), .rows = rows, .columns = columns, .joined = joined});
}

int ParameterTable::AddVector(std::string name, std::int64_t size, bool joined) {
  return Add(
      {.name = std::move(name), .rows = 1, .columns = size, .num_dims = 1, .joined = joined});
}

int ParameterTable::Add(ParameterPiece piece) {
  SEQUELA_CHECK(Find(piece.name) < 0, "{} twice", piece.name);
  SEQUELA_CHECK(piece.rows > 0 && piece.columns > 0, "{}", piece.name);
  SEQUELA_CHECK(!piece.joined || !pieces_.empty(), "{}", piece.name);
  const std::int64_t end = pieces_.empty() ? 0 : pieces_.back().end();
  piece.offset = piece.joined ? end : RoundUp(end, kPieceAlignment);
  pieces_.push_back(std::move(piece));
  return num_pieces() - 1;
}

int ParameterTable::Find(std::string_view name) const {
  const auto found = std::find_if(pieces_.begin(), pieces_.end(),
                                  [&](const ParameterPiece& piece) { return piece.name == name; });
  return found == pieces_.end() ? -1 : static_cast<int>(found - pieces_.begin());
}

std::int64_t ParameterTable::num_parameters() const {
  std::int64_t total = 0;
  for (const ParameterPiece& piece : pieces_) total += piece.size();
  return total;
}

std::int64_t ParameterTable::num_elements() const {
  return pieces_.empty() ? 0 : RoundUp(pieces_.back().end(), kTileElements);
}

int ParameterTable::PieceAt(std::int64_t element) const {
  const auto after = std::upper_bound(
      pieces_.begin(), pieces_.end(), element,
      [](std::int64_t place, const ParameterPiece& piece) { return place < piece.offset; });
  SEQUELA_CHECK(after != pieces_.begin(), "element {}", element);
  return static_cast<int>(after - pieces_.begin()) - 1;
}

FlatBuffers::FlatBuffers(const ParameterTable& table, DType compute_dtype, bool with_gradients)
    : table_(table),
      compute_dtype_(compute_dtype),
      weights_(table.num_elements() * SizeOf(compute_dtype)),
      gradients_(with_gradients ? table.num_elements() * SizeOf(DType::kFloat32) : 0),
      vectors_(
          compute_dtype == DType::kFloat32 ? 0 : table.num_elements() * SizeOf(DType::kFloat32),
          /*huge_pages=*/false) {
  SEQUELA_CHECK(compute_dtype == DType::kFloat32 || compute_dtype == DType::kBFloat16);
}

TensorView FlatBuffers::View(std::byte* data, DType dtype, int first, int last) {
  SEQUELA_CHECK(data != nullptr, "{}: this buffer was not asked for", table_.piece(first).name);
  const ParameterPiece& head = table_.piece(first);
  std::int64_t rows = head.rows;
  std::int64_t columns = head.columns;
  for (int i = first + 1; i <= last; ++i) {
    const ParameterPiece& piece = table_.piece(i);
    SEQUELA_CHECK(piece.joined && piece.num_dims == head.num_dims, "{} after {}", piece.name,
                  head.name);
    if (piece.num_dims == 1) {
      columns += piece.columns;
    } else {
      SEQUELA_CHECK(piece.columns == columns, "{} after {}", piece.name, head.name);
      rows += piece.rows;
    }
  }
  return {data + head.offset * SizeOf(dtype), dtype, rows, columns};
}

TensorView FlatBuffers::Weight(int piece) { return JoinedWeight(piece, piece); }

ConstTensorView FlatBuffers::Weight(int piece) const {
  const ParameterPiece& place = table_.piece(piece);
  return {weights_.data() + place.offset * SizeOf(compute_dtype_), compute_dtype_, place.rows,
          place.columns};
}

TensorView FlatBuffers::JoinedWeight(int first, int last) {
  return View(weights_.data(), compute_dtype_, first, last);
}

TensorView FlatBuffers::Vector(int piece) { return JoinedVector(piece, piece); }

TensorView FlatBuffers::JoinedVector(int first, int last) {
  SEQUELA_CHECK(table_.piece(first).num_dims == 1, "{}", table_.piece(first).name);
  return View(reinterpret_cast<std::byte*>(vectors()), DType::kFloat32, first, last);
}

TensorView FlatBuffers::Gradient(int piece) { return JoinedGradient(piece, piece); }

TensorView FlatBuffers::JoinedGradient(int first, int last) {
  return View(gradients_.data(), DType::kFloat32, first, last);
}

void FlatBuffers::ZeroGradients() {
  const std::span<float> all = gradients();
  std::fill(all.begin(), all.end(), 0.0F);
}

void FlatBuffers::SetPiece(int piece, std::span<const float> values) {
  const ParameterPiece& place = table_.piece(piece);
  SEQUELA_CHECK(std::ssize(values) == place.size(), "{}", place.name);
  if (compute_dtype_ == DType::kFloat32) {
    std::copy(values.begin(), values.end(), weights_.As<float>().begin() + place.offset);
    return;
  }
  std::transform(values.begin(), values.end(), weights_.As<bf16>().begin() + place.offset, ToBf16);
  if (place.num_dims == 1) std::copy(values.begin(), values.end(), vectors() + place.offset);
}

float* FlatBuffers::vectors() {
  return reinterpret_cast<float*>(compute_dtype_ == DType::kFloat32 ? weights_.data()
                                                                    : vectors_.data());
}

const float* FlatBuffers::vectors() const {
  return reinterpret_cast<const float*>(compute_dtype_ == DType::kFloat32 ? weights_.data()
                                                                          : vectors_.data());
}

}  // namespace sequela
