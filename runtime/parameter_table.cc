#include "runtime/parameter_table.h"

#include <algorithm>
#include <array>
#include <cstring>
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

FlatBuffers::FlatBuffers(const ParameterTable& table, DType compute_dtype, bool with_gradients,
                         Device& device)
    : table_(table),
      compute_dtype_(compute_dtype),
      device_(device),
      weights_(table.num_elements() * SizeOf(compute_dtype), device),
      gradients_(with_gradients ? table.num_elements() * SizeOf(DType::kFloat32) : 0, device) {
  SEQUELA_CHECK(compute_dtype == DType::kFloat32 || compute_dtype == DType::kBFloat16);
  if (compute_dtype != DType::kFloat32) PlaceVectors();
}

// Vectors that follow one another in the flat buffers keep their distances, paddings too.
void FlatBuffers::PlaceVectors() {
  std::int64_t end = 0;
  for (int i = 0; i < table_.num_pieces(); ++i) {
    const ParameterPiece& piece = table_.piece(i);
    const std::int64_t next =
        i + 1 < table_.num_pieces() ? table_.piece(i + 1).offset : table_.num_elements();
    const bool is_vector = piece.num_dims == 1;
    vector_begin_.push_back(is_vector ? end : -1);
    if (is_vector) end += next - piece.offset;
  }
  vectors_ = Buffer(end * SizeOf(DType::kFloat32), device_);
}

std::byte* FlatBuffers::PlaceOf(Buffer& buffer, DType dtype, int piece) const {
  SEQUELA_CHECK(buffer.data() != nullptr, "{}: this buffer was not asked for",
                table_.piece(piece).name);
  return buffer.data() + table_.piece(piece).offset * SizeOf(dtype);
}

TensorView FlatBuffers::View(void* begin, DType dtype, int first, int last) const {
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
  return {begin, dtype, rows, columns};
}

TensorView FlatBuffers::Weight(int piece) { return JoinedWeight(piece, piece); }

ConstTensorView FlatBuffers::Weight(int piece) const {
  const ParameterPiece& place = table_.piece(piece);
  return {weights_.data() + place.offset * SizeOf(compute_dtype_), compute_dtype_, place.rows,
          place.columns};
}

TensorView FlatBuffers::JoinedWeight(int first, int last) {
  return View(PlaceOf(weights_, compute_dtype_, first), compute_dtype_, first, last);
}

TensorView FlatBuffers::Vector(int piece) { return JoinedVector(piece, piece); }

ConstTensorView FlatBuffers::Vector(int piece) const {
  return const_cast<FlatBuffers*>(this)->Vector(piece);  // a view of the same memory, to be read
}

TensorView FlatBuffers::JoinedVector(int first, int last) {
  const ParameterPiece& head = table_.piece(first);
  SEQUELA_CHECK(head.num_dims == 1, "{}", head.name);
  return View(VectorsAt(head.offset), DType::kFloat32, first, last);
}

TensorView FlatBuffers::Gradient(int piece) { return JoinedGradient(piece, piece); }

TensorView FlatBuffers::JoinedGradient(int first, int last) {
  return View(PlaceOf(gradients_, DType::kFloat32, first), DType::kFloat32, first, last);
}

void FlatBuffers::ZeroGradients() { device_.Zero(gradients_.data(), gradients_.size_bytes()); }

void FlatBuffers::SetPiece(int piece, std::span<const float> values) {
  const ParameterPiece& place = table_.piece(piece);
  SEQUELA_CHECK(std::ssize(values) == place.size(), "{}", place.name);
  const std::int64_t float_bytes = std::ssize(values) * SizeOf(DType::kFloat32);
  if (compute_dtype_ == DType::kFloat32) {
    device_.Copy(Weight(piece).data, values.data(), float_bytes);
    return;
  }
  bf16* to = Weight(piece).As<bf16>();
  std::array<bf16, 4096> rounded;
  for (std::size_t begin = 0; begin < values.size(); begin += rounded.size()) {
    const auto part = values.subspan(begin, std::min(rounded.size(), values.size() - begin));
    std::transform(part.begin(), part.end(), rounded.begin(), ToBf16);
    device_.Copy(to + begin, rounded.data(), std::ssize(part) * SizeOf(DType::kBFloat16));
  }
  if (place.num_dims == 1) device_.Copy(VectorsAt(place.offset), values.data(), float_bytes);
}

void FlatBuffers::ReadPiece(int piece, std::span<float> values) const {
  SEQUELA_CHECK(std::ssize(values) == table_.piece(piece).size(), "{}", table_.piece(piece).name);
  const std::vector<std::byte> bytes = PieceBytes(piece);
  if (bytes.size() == values.size_bytes()) {
    std::memcpy(values.data(), bytes.data(), bytes.size());
    return;
  }
  const auto* const stored = reinterpret_cast<const bf16*>(bytes.data());
  std::transform(stored, stored + values.size(), values.begin(), ToFloat);
}

void FlatBuffers::ReadGradient(int piece, std::span<float> values) const {
  const ParameterPiece& place = table_.piece(piece);
  SEQUELA_CHECK(std::ssize(values) == place.size() && !gradients().empty(), "{}", place.name);
  ReadBytes(gradients().data() + place.offset, values.data(),
            std::ssize(values) * SizeOf(DType::kFloat32));
}

std::vector<std::byte> FlatBuffers::PieceBytes(int piece) const {
  const ConstTensorView view = table_.piece(piece).num_dims == 1 ? Vector(piece) : Weight(piece);
  std::vector<std::byte> bytes(
      static_cast<std::size_t>(table_.piece(piece).size() * SizeOf(view.dtype)));
  ReadBytes(view.data, bytes.data(), std::ssize(bytes));
  return bytes;
}

void FlatBuffers::ReadBytes(const void* from, void* to, std::int64_t bytes) const {
  device_.Copy(to, from, bytes);
  device_.Synchronize();
}

float* FlatBuffers::VectorsAt(std::int64_t element) {
  if (compute_dtype_ == DType::kFloat32) {
    return reinterpret_cast<float*>(weights_.data()) + element;
  }
  const int piece = table_.PieceAt(element);
  const std::int64_t begin = vector_begin_[static_cast<std::size_t>(piece)];
  SEQUELA_CHECK(begin >= 0, "{} is a matrix", table_.piece(piece).name);
  return reinterpret_cast<float*>(vectors_.data()) + begin + (element - table_.piece(piece).offset);
}

}  // namespace sequela
