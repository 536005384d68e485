#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/dropout.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// After foreach_target.h:
#include "hwy/highway.h"
#include "kernels/cpu/parallel_chunks.h"
#include "kernels/cpu/rows-inl.h"
#include "kernels/cpu/rowwise.h"

HWY_BEFORE_NAMESPACE();
namespace sequela::cpu::HWY_NAMESPACE {
namespace {

using WordTag = hn::RebindToUnsigned<F32>;
using WordVec = hn::Vec<WordTag>;

#if HWY_TARGET == HWY_SCALAR
HWY_INLINE void PhiloxWords(std::uint64_t key, std::uint64_t sample, std::uint32_t position,
                            std::uint32_t first_block, std::uint32_t* words) {
  const PhiloxBlock block = DropoutBlock(key, static_cast<std::int64_t>(sample),
                                         static_cast<std::int32_t>(position), first_block);
  std::copy(block.begin(), block.end(), words);
}
#else
// The upper and lower halves of the 64-bit products a * b.
struct Product {
  WordVec high;
  WordVec low;
};
HWY_INLINE Product Multiply(WordVec a, std::uint32_t b) {
  const WordTag d32;
  const hn::Repartition<std::uint64_t, WordTag> d64;
  const WordVec factor = hn::Set(d32, b);
  const auto even = hn::MulEven(a, factor);
  const auto odd = hn::MulEven(hn::BitCast(d32, hn::ShiftRight<32>(hn::BitCast(d64, a))), factor);
  return {hn::OddEven(hn::BitCast(d32, odd), hn::BitCast(d32, hn::ShiftRight<32>(even))),
          hn::OddEven(hn::BitCast(d32, hn::ShiftLeft<32>(odd)), hn::BitCast(d32, even))};
}

// Philox (kernels/base/philox.h) of one block per lane; the words lie in `words` in channel order.
HWY_INLINE void PhiloxWords(std::uint64_t key, std::uint64_t sample, std::uint32_t position,
                            std::uint32_t first_block, std::uint32_t* words) {
  const WordTag d;
  auto key0 = static_cast<std::uint32_t>(key);
  auto key1 = static_cast<std::uint32_t>(key >> 32);
  WordVec c0 = hn::Set(d, static_cast<std::uint32_t>(sample));
  WordVec c1 = hn::Set(d, static_cast<std::uint32_t>(sample >> 32));
  WordVec c2 = hn::Iota(d, first_block);
  WordVec c3 = hn::Set(d, position);
  for (int round = 0; round < 10; ++round) {
    const Product product0 = Multiply(c0, 0xD2511F53U);
    const Product product1 = Multiply(c2, 0xCD9E8D57U);
    c0 = hn::Xor(hn::Xor(product1.high, c1), hn::Set(d, key0));
    c1 = product1.low;
    c2 = hn::Xor(hn::Xor(product0.high, c3), hn::Set(d, key1));
    c3 = product0.low;
    key0 += 0x9E3779B9U;
    key1 += 0xBB67AE85U;
  }
  hn::StoreInterleaved4(c0, c1, c2, c3, d, words);
}
#endif

template <typename T>
void DropRow(const T* x, T* out, std::int64_t columns, std::uint64_t key, std::uint64_t sample,
             std::uint32_t position, double rate) {
  const WordTag d;
  const WordVec threshold = hn::Set(d, DropoutThreshold(rate));
  const VF32 scale = hn::Set(F32(), static_cast<float>(1.0 / (1.0 - rate)));
  const std::int64_t step = 4 * NumLanes();
  HWY_ALIGN std::uint32_t words[HWY_MAX_BYTES];
  for (std::int64_t begin = 0; begin < columns; begin += step) {
    PhiloxWords(key, sample, position, static_cast<std::uint32_t>(begin / 4), words);
    ForVectors(std::min(step, columns - begin), [&](std::int64_t i, auto lanes) HWY_ATTR {
      const auto dropped = hn::Lt(hn::Load(d, words + i), threshold);
      const VF32 kept = hn::Mul(Load(x + begin + i, lanes), scale);
      Store(hn::IfThenZeroElse(hn::RebindMask(F32(), dropped), kept), out + begin + i, lanes);
    });
  }
}

void DropoutRow(const DropoutArgs& args, std::int64_t t, std::int64_t sample) {
  const auto position = static_cast<std::uint32_t>(args.position[static_cast<std::size_t>(t)]);
  const auto sample_word = static_cast<std::uint64_t>(sample);
  if (args.x_TC.dtype == DType::kBFloat16) {
    DropRow(Row<bf16>(args.x_TC, t), Row<bf16>(args.out_TC, t), args.x_TC.columns, args.key,
            sample_word, position, args.rate);
  } else {
    DropRow(Row<float>(args.x_TC, t), Row<float>(args.out_TC, t), args.x_TC.columns, args.key,
            sample_word, position, args.rate);
  }
}

}  // namespace
}  // namespace sequela::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sequela::cpu {

HWY_EXPORT(DropoutRow);

void Dropout(const Exec& exec, const DropoutArgs& args) {
  const auto drop_row = &HWY_DYNAMIC_DISPATCH(DropoutRow);
  const auto begins = args.document_begin;
  ParallelChunks(exec, args.x_TC.rows, RowsPerChunk(args.x_TC.columns),
                 [&](std::int64_t begin, std::int64_t end) {
                   for (std::int64_t t = begin; t < end; ++t) {
                     const auto after = std::upper_bound(begins.begin(), begins.end(), t);
                     const auto document = static_cast<std::size_t>(after - begins.begin() - 1);
                     drop_row(args, t, args.sample[document]);
                   }
                 });
}

}  // namespace sequela::cpu
#endif  // HWY_ONCE
