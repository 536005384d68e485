// Which parameter lies where in the flat buffers, and the buffers that all ranks hold in full.
//
// Invariants
//   1. Pieces lie in the order in which backward finishes their gradients (the output head first,
//      the embedding last; tied weights lie at the embedding's place).
//   2. A piece begins at a multiple of 32 elements (64 bytes in bf16), except one that is joined to
//      the piece before it (q, k, v; gate, up), so that one product reads them as one matrix.
//   3. The total is padded with zeros to whole tiles of 1,024 elements. Padding stays zero.
//   4. The layout depends on nothing but the sequence of Add calls: never on ranks, ZeRO or dtype.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/dtype.h"
#include "kernels/base/tensor_view.h"
#include "runtime/buffer.h"

namespace sequela {

inline constexpr std::int64_t kTileElements = 1024;

struct ParameterPiece {
  std::string name;       // as in Hugging Face: "model.layers.0.self_attn.q_proj.weight"
  std::int64_t rows = 0;  // a vector is [1, columns]
  std::int64_t columns = 0;
  int num_dims = 2;         // 1 for norm gains and biases, which have no weight decay
  std::int64_t offset = 0;  // elements from the beginning of every flat buffer
  bool joined = false;      // follows the piece before it without padding

  std::int64_t size() const { return rows * columns; }
  std::int64_t end() const { return offset + size(); }
};

// Filled once, then read only: safe for concurrent reading.
class ParameterTable {
 public:
  // Appends a piece and returns its index. REQUIRES: a new name.
  int AddMatrix(std::string name, std::int64_t rows, std::int64_t columns, bool joined = false);
  int AddVector(std::string name, std::int64_t size, bool joined = false);

  const std::vector<ParameterPiece>& pieces() const { return pieces_; }
  const ParameterPiece& piece(int index) const {
    return pieces_.at(static_cast<std::size_t>(index));
  }
  int num_pieces() const { return static_cast<int>(pieces_.size()); }
  // The index of a name, or -1.
  int Find(std::string_view name) const;
  // Elements of all pieces, without padding: the number of parameters.
  std::int64_t num_parameters() const;
  // Elements of a flat buffer, with padding: a multiple of kTileElements.
  std::int64_t num_elements() const;
  std::int64_t num_tiles() const { return num_elements() / kTileElements; }
  // The piece that holds the element, or the one before the padding it lies in.
  int PieceAt(std::int64_t element) const;

 private:
  int Add(ParameterPiece piece);
  std::vector<ParameterPiece> pieces_;
};

// What every rank holds in full: weights in the compute dtype, fp32 copies of vectors, gradients.
// The optimizer (sharded_optimizer.h) owns m, v and, in bf16, the fp32 master of its shard.
class FlatBuffers {
 public:
  // `with_gradients` false for evaluation. `table` and `device` are borrowed and must outlive the
  // buffers; the table is complete.
  FlatBuffers(const ParameterTable& table, DType compute_dtype, bool with_gradients = true,
              Device& device = HostDevice());

  const ParameterTable& table() const { return table_; }
  DType compute_dtype() const { return compute_dtype_; }
  Device& device() const { return device_; }

  // [rows, columns] in the compute dtype.
  TensorView Weight(int piece);
  ConstTensorView Weight(int piece) const;
  // Pieces first..last, joined, as one matrix: rows of all, columns of each.
  TensorView JoinedWeight(int first, int last);
  // [1, columns] in fp32, in every precision: norm gains and biases.
  // REQUIRES: pieces of one dimension.
  TensorView Vector(int piece);
  ConstTensorView Vector(int piece) const;
  TensorView JoinedVector(int first, int last);
  // fp32, what backward adds into. REQUIRES: with_gradients.
  TensorView Gradient(int piece);
  TensorView JoinedGradient(int first, int last);
  void ZeroGradients();

  // --- for the host ---
  // Sets one piece from fp32 values (rounded for the compute dtype). `values` has piece.size()
  // elements and may be used again at once.
  void SetPiece(int piece, std::span<const float> values);
  // The same backwards: waits for the device; bf16 is widened, vectors come in fp32.
  void ReadPiece(int piece, std::span<float> values) const;
  void ReadGradient(int piece, std::span<float> values) const;
  // A piece as the model reads it, in the memory of the host: vectors in fp32, matrices in the
  // compute dtype. Waits for the device.
  std::vector<std::byte> PieceBytes(int piece) const;

  // The whole buffers, num_elements() long, in the device's memory.
  std::byte* weights() { return weights_.data(); }
  const std::byte* weights() const { return weights_.data(); }
  std::span<float> gradients() { return gradients_.As<float>(); }
  std::span<const float> gradients() const { return gradients_.As<float>(); }
  // Where element `element` of the flat buffers lies in fp32, in the device's memory. REQUIRES: it
  // is of a piece of one dimension, or of the padding that follows one. Neighbours in the flat
  // buffers are neighbours here up to the next matrix.
  float* VectorsAt(std::int64_t element);

 private:
  // Where the piece begins in a buffer of its own dtype.
  std::byte* PlaceOf(Buffer& buffer, DType dtype, int piece) const;
  // Pieces first..last as one matrix, the first of which begins at `begin`.
  TensorView View(void* begin, DType dtype, int first, int last) const;
  void PlaceVectors();
  void ReadBytes(const void* from, void* to, std::int64_t bytes) const;

  const ParameterTable& table_;
  DType compute_dtype_;
  Device& device_;
  Buffer weights_;
  Buffer gradients_;
  // bf16 only: the vectors' fp32 values, packed, and by piece where they begin (-1: a matrix).
  Buffer vectors_;
  std::vector<std::int64_t> vector_begin_;
};

}  // namespace sequela
