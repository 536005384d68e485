#include "kernels/base/philox.h"
#include "kernels/cuda/dropout_kernels.h"
#include "kernels/cuda/rows.cuh"
#include "kernels/layout/dropout_mask.h"

namespace sequela::cuda {

// The document that holds token t: the last that begins at or before it.
__device__ inline std::uint32_t DocumentOf(const std::int32_t* document_begin,
                                           std::uint32_t documents, std::int64_t t) {
  std::uint32_t at = 0;  // begins at or before t
  std::uint32_t after = documents;
  while (after - at > 1) {
    const std::uint32_t middle = at + (after - at) / 2;
    if (document_begin[middle] <= t) {
      at = middle;
    } else {
      after = middle;
    }
  }
  return at;
}

template <typename T>
__device__ void DropRow(const DropoutParams<T>& p) {
  constexpr int N = PackSize<T>();
  constexpr int kWords = 4;  // of a Philox block, one for each of as many channels
  static_assert(N % kWords == 0);
  const std::int64_t row = RowOf(p.work);
  if (row >= p.work.rows) return;
  const std::int64_t sample = p.sample[DocumentOf(p.document_begin, p.documents, row)];
  const std::int32_t position = p.position[row];
  ForPacks<N>(p.work, row, [&](std::uint32_t i, auto part) {
    Floats<N> x = LoadFloats<N>(p.x.Row(row) + i, part);
#pragma unroll
    for (int j = 0; j < N; j += kWords) {
      const PhiloxBlock words = DropoutBlock(p.key, sample, position, (i + j) / kWords);
#pragma unroll
      for (int w = 0; w < kWords; ++w) {
        x.v[j + w] = words[w] < p.threshold ? 0.0F : x.v[j + w] * p.scale;
      }
    }
    StoreFloats(x, p.out.Row(row) + i, part);
  });
}

SEQUELA_ROW_KERNEL sequela_dropout_f32(DropoutParams<float> p) { DropRow(p); }
SEQUELA_ROW_KERNEL sequela_dropout_bf16(DropoutParams<bf16> p) { DropRow(p); }

}  // namespace sequela::cuda
