// A pack: the N neighbouring elements of a row that one thread moves at once. Where the row's
// memory allows it they travel in accesses of 16 bytes (8 for the narrower of two types), else, and
// at a row's end, one by one. Which thread holds which element never depends on the memory, and so
// neither does the order of a sum.
#pragma once

#include <cstdint>

#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/instructions.cuh"
#include "kernels/cuda/row_kernels.h"

namespace sequela::cuda {

// The elements as they are stored, in registers.
template <typename T, int N>
struct Pack {
  static constexpr int kWords = static_cast<int>(N * sizeof(T) / 4);
  static_assert(kWords == 2 || kWords % 4 == 0, "8 bytes, or 16 at a time");
  std::uint32_t words[kWords];
};
template <int N>
struct Floats {
  float v[N];
};

// What of a pack a thread moves: all of it in wide accesses, or its first elements one by one. Two
// types, so that the choice is made once, outside of the code that is in a hurry: no branch parts
// one load from the next there.
struct WholePack {};
struct FirstElements {
  std::uint32_t count;  // at least 1, at most the pack's
};

// body(WholePack()) or body(FirstElements) for a pack with so many elements from its start to the
// row's end, in memory that suits wide accesses (`vectors`) or does not.
template <int N, typename Body>
__device__ inline void WithPart(std::uint32_t elements_left, bool vectors, const Body& body) {
  if (vectors && elements_left >= N) {
    body(WholePack());
  } else {
    body(FirstElements{elements_left < N ? elements_left : N});
  }
}

__device__ inline std::uint32_t BitsOf(const float* from) { return __float_as_uint(*from); }
__device__ inline std::uint32_t BitsOf(const bf16* from) { return from->bits; }
__device__ inline void SetBits(float* to, std::uint32_t bits) { *to = __uint_as_float(bits); }
__device__ inline void SetBits(bf16* to, std::uint32_t bits) {
  to->bits = static_cast<std::uint16_t>(bits);
}

__device__ inline void LoadWords(const void* from, std::uint32_t (&words)[2]) {
  const uint2 pair = *static_cast<const uint2*>(from);
  words[0] = pair.x;
  words[1] = pair.y;
}
template <int kWords>
__device__ inline void LoadWords(const void* from, std::uint32_t (&words)[kWords]) {
#pragma unroll
  for (int w = 0; w < kWords; w += 4) {
    const uint4 quad = static_cast<const uint4*>(from)[w / 4];
    words[w] = quad.x;
    words[w + 1] = quad.y;
    words[w + 2] = quad.z;
    words[w + 3] = quad.w;
  }
}
__device__ inline void StoreWords(const std::uint32_t (&words)[2], void* to) {
  *static_cast<uint2*>(to) = make_uint2(words[0], words[1]);
}
template <int kWords>
__device__ inline void StoreWords(const std::uint32_t (&words)[kWords], void* to) {
#pragma unroll
  for (int w = 0; w < kWords; w += 4) {
    static_cast<uint4*>(to)[w / 4] = make_uint4(words[w], words[w + 1], words[w + 2], words[w + 3]);
  }
}

// Keeps the compiler from moving the load of a pack down to its first use, behind the arithmetic on
// another: loads that are written side by side wait side by side.
template <typename T, int N>
__device__ inline void IssueHere(Pack<T, N>& pack) {
#pragma unroll
  for (std::uint32_t& word : pack.words) asm volatile("" : "+r"(word));
}

template <int N, typename T>
__device__ inline Pack<T, N> Load(const T* from, WholePack) {
  Pack<T, N> pack;
  LoadWords(from, pack.words);
  IssueHere(pack);
  return pack;
}
// The other elements are 0.
template <int N, typename T>
__device__ inline Pack<T, N> Load(const T* from, FirstElements part) {
  Pack<T, N> pack = {};
  constexpr int kPerWord = 4 / sizeof(T);
#pragma unroll
  for (int i = 0; i < N; ++i) {
    if (i < part.count) {
      pack.words[i / kPerWord] |= BitsOf(from + i) << (i % kPerWord * 8 * sizeof(T));
    }
  }
  return pack;
}

template <int N, typename T>
__device__ inline void Store(const Pack<T, N>& pack, T* to, WholePack) {
  StoreWords(pack.words, to);
}
template <int N, typename T>
__device__ inline void Store(const Pack<T, N>& pack, T* to, FirstElements part) {
  constexpr int kPerWord = 4 / sizeof(T);
#pragma unroll
  for (int i = 0; i < N; ++i) {
    if (i < part.count) {
      SetBits(to + i, pack.words[i / kPerWord] >> (i % kPerWord * 8 * sizeof(T)));
    }
  }
}

// As Store, and the first that the cache gives up.
template <int N, typename T>
__device__ inline void StoreOnce(const Pack<T, N>& pack, T* to, WholePack) {
  static_assert(Pack<T, N>::kWords == 4);
  __stcs(reinterpret_cast<uint4*>(to),
         make_uint4(pack.words[0], pack.words[1], pack.words[2], pack.words[3]));
}
template <int N, typename T>
__device__ inline void StoreOnce(const Pack<T, N>& pack, T* to, FirstElements part) {
  Store(pack, to, part);
}

template <int N>
__device__ inline Floats<N> Unpack(const Pack<float, N>& pack) {
  Floats<N> floats;
#pragma unroll
  for (int i = 0; i < N; ++i) floats.v[i] = __uint_as_float(pack.words[i]);
  return floats;
}
template <int N>
__device__ inline Floats<N> Unpack(const Pack<bf16, N>& pack) {
  Floats<N> floats;
#pragma unroll
  for (int i = 0; i < N; i += 2) {
    floats.v[i] = __uint_as_float(pack.words[i / 2] << 16);
    floats.v[i + 1] = __uint_as_float(pack.words[i / 2] & 0xffff0000U);
  }
  return floats;
}

template <int N>
__device__ inline void AddTo(Floats<N>& sum, const Floats<N>& term) {
#pragma unroll
  for (int j = 0; j < N; ++j) sum.v[j] += term.v[j];
}

// PackAs<T>: rounded to T. NaNs, whose bits the instruction would not keep, have a path of their
// own, so that the others pay for one test of two elements instead of five instructions for each.
template <typename T, int N>
__device__ inline Pack<T, N> PackAs(const Floats<N>& floats) {
  Pack<T, N> pack;
  if constexpr (sizeof(T) == 4) {
#pragma unroll
    for (int i = 0; i < N; ++i) pack.words[i] = __float_as_uint(floats.v[i]);
  } else {
    bool any_nan = false;
#pragma unroll
    for (int i = 0; i < N; i += 2) {
      pack.words[i / 2] = PackBf16(floats.v[i], floats.v[i + 1]);
      any_nan |= floats.v[i] != floats.v[i] || floats.v[i + 1] != floats.v[i + 1];
    }
    // A vote, because the compiler makes selections of a branch that a lane may take for itself.
    if (__any_sync(__activemask(), any_nan)) {
#pragma unroll
      for (int i = 0; i < N; i += 2) {
        pack.words[i / 2] =
            Bf16Bits(floats.v[i]) | static_cast<std::uint32_t>(Bf16Bits(floats.v[i + 1])) << 16;
      }
    }
  }
  return pack;
}

template <int N, typename T, typename Part>
__device__ inline Floats<N> LoadFloats(const T* from, Part part) {
  return Unpack(Load<N>(from, part));
}
template <int N, typename T, typename Part>
__device__ inline void StoreFloats(const Floats<N>& floats, T* to, Part part) {
  Store(PackAs<T>(floats), to, part);
}

}  // namespace sequela::cuda
