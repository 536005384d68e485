// Softmax of rows of logits, one block a row. For its loss a row is read from memory once: its
// maximum and its sum of exponentials, which each thread keeps up to date together, need all of it
// before the gradient can begin, and until then its first 96 KB lie in shared memory. Of a longer
// row the rest is read again, last pack first. Two blocks an SM leave an H200 264 rows in flight,
// of a vocabulary of 131,072 42 MB that are to be read again, which its cache of 50 MB holds.
//
// Beside memory's 4 bytes a logit of bf16 the work must not show: about 14 instructions and two
// exponentials of the special function unit, 0.6 of the time that memory takes.
#include "kernels/cuda/block_merge.cuh"
#include "kernels/cuda/cross_entropy_kernels.h"
#include "kernels/cuda/sum_of_exps.cuh"

namespace sequela::cuda {

// Of the losses, on an SM of Hopper: as many as the shared memory that they keep rows in allows.
inline constexpr int kLossBlocks = 2;

// weight * (softmax - [i == target]) of a row, without the target.
template <typename T>
struct LogitGradient {
  float max, scale;

  __device__ float operator()(float logit) const { return scale * ExpFor<T>(logit - max); }
  __device__ Pack<T, kInPack<T>> operator()(const Pack<T, kInPack<T>>& logits) const {
    Floats<kInPack<T>> x = Unpack(logits);
#pragma unroll
    for (int i = 0; i < kInPack<T>; ++i) x.v[i] = (*this)(x.v[i]);
    if constexpr (sizeof(T) == sizeof(float)) {
      return PackAs<T>(x);
    } else {
      Pack<T, kInPack<T>> rounded;
#pragma unroll
      for (int w = 0; w < rounded.kWords; ++w) {
        rounded.words[w] = PackBf16(x.v[2 * w], x.v[2 * w + 1]);
      }
      return rounded;
    }
  }
};

// use(i, load(i)) for this thread's share of the packs [begin, end). The loads of a batch are all
// on their way before the first is used.
template <typename LoadPack, typename Use>
__device__ void InBatches(int begin, int end, const LoadPack& load, const Use& use) {
  constexpr int kBatch = 4;
  const int threads = static_cast<int>(blockDim.x);
  int i = begin + static_cast<int>(threadIdx.x);
  for (; i + (kBatch - 1) * threads < end; i += kBatch * threads) {
    decltype(load(i)) packs[kBatch];
#pragma unroll
    for (int b = 0; b < kBatch; ++b) packs[b] = load(i + b * threads);
#pragma unroll
    for (int b = 0; b < kBatch; ++b) use(i + b * threads, packs[b]);
  }
  for (; i < end; i += threads) use(i, load(i));
}

// A row of logits in whole packs and what is left of it, of which a thread has one logit at most.
template <typename T>
class LossOfRow {
 public:
  using LogitPack = Pack<T, kInPack<T>>;

  __device__ LossOfRow(T* row, int vocabulary, int packs_kept, LogitPack* kept)
      : row_(row), packs_(vocabulary / kInPack<T>), packs_kept_(packs_kept), kept_(kept) {
    rest_ = packs_ * kInPack<T> + static_cast<int>(threadIdx.x);
    has_rest_ = rest_ < vocabulary;
    rest_logit_ = has_rest_ ? LoadFloat(row + rest_) : 0.0F;
  }

  // This thread's part.
  __device__ SumOfExps Read() {
    SumOfExps exps;
    const auto load = [&](int i) { return LoadPack(i); };
    InBatches(0, packs_kept_, load, [&](int i, const LogitPack& pack) {
      StoreWords(pack.words, kept_ + i);
      exps.Add<T>(pack);
    });
    InBatches(packs_kept_, packs_, load, [&](int, const LogitPack& pack) { exps.Add<T>(pack); });
    if (has_rest_) exps.Add(rest_logit_);
    return exps;
  }

  // Over the logits. First what was not kept, backwards: the last was read last.
  __device__ void Write(const LogitGradient<T>& gradient) {
    const auto write = [&](int i, const LogitPack& pack) {
      Store(gradient(pack), row_ + i * kInPack<T>, WholePack());
    };
    InBatches(
        0, packs_ - packs_kept_, [&](int i) { return LoadPack(packs_ - 1 - i); },
        [&](int i, const LogitPack& pack) { write(packs_ - 1 - i, pack); });
    const auto load_kept = [&](int i) {
      LogitPack pack;
      LoadWords(kept_ + i, pack.words);
      return pack;
    };
    InBatches(0, packs_kept_, load_kept, write);
    if (has_rest_) StoreFloat(row_ + rest_, gradient(rest_logit_));
  }

 private:
  __device__ LogitPack LoadPack(int i) const {
    return Load<kInPack<T>>(row_ + i * kInPack<T>, WholePack());
  }

  T* row_;
  int packs_, packs_kept_;
  LogitPack* kept_;  // shared memory
  int rest_;
  bool has_rest_;
  float rest_logit_;
};

template <typename T>
__device__ void LossRow(const LossParams<T>& p, void* shared) {
  const LogitRows<T>& logits = p.logits;
  T* const row = logits.data + blockIdx.x * logits.stride;
  const int token = logits.row_of[blockIdx.x];
  using Loss = LossOfRow<T>;
  Loss loss(row, logits.vocabulary, p.packs_kept, static_cast<typename Loss::LogitPack*>(shared));
  const SumOfExps part = loss.Read();
  // Only now: each of these waits for the one before, and the row need not.
  const int target = logits.target[token];
  const float weight = p.loss_weight == nullptr ? 1.0F : p.loss_weight[token];
  const float of_target = LoadFloat(row + target);
  const SumOfExps exps = MergeOverBlock<kMaxLogitThreads>(part);
  if (threadIdx.x == 0) p.nll[token] = exps.NegativeLogProbability(of_target);
  loss.Write({exps.max, weight / exps.sum});
  __syncthreads();  // the target's gradient goes over what was written for it
  if (threadIdx.x == 0) {
    StoreFloat(row + target, weight * (expf(of_target - exps.max) / exps.sum - 1.0F));
  }
}

#define SEQUELA_LOSS_KERNEL SEQUELA_KERNEL __launch_bounds__(kMaxLogitThreads, kLossBlocks)
SEQUELA_LOSS_KERNEL sequela_cross_entropy_loss_f32(LossParams<float> p) {
  extern __shared__ uint4 shared[];
  LossRow(p, shared);
}
SEQUELA_LOSS_KERNEL sequela_cross_entropy_loss_bf16(LossParams<bf16> p) {
  extern __shared__ uint4 shared[];
  LossRow(p, shared);
}

}  // namespace sequela::cuda
