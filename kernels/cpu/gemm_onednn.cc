// Tiles of matrix products by oneDNN. It never chooses a split: every primitive is built and run
// with one thread, inside or outside a parallel region of ours.
#include <fmt/format.h>
#include <omp.h>

#include <dnnl.hpp>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <unordered_map>

#include "kernels/base/check.h"
#include "kernels/base/philox.h"
#include "kernels/cpu/tile_matmul.h"
#include "kernels/libraries.h"

namespace sequela::cpu {
namespace {

struct ShapeHash {
  std::size_t operator()(const TileShape& s) const {
    std::uint64_t hash = 0;
    for (const std::int64_t value : {s.m, s.n, s.k, s.lda, s.ldb, s.ldc}) {
      hash = MixBits(hash ^ static_cast<std::uint64_t>(value));
    }
    const int flags = (s.transpose_a ? 1 : 0) | (s.transpose_b ? 2 : 0) | (s.accumulate ? 4 : 0) |
                      (static_cast<int>(s.dtype_ab) << 3) | (static_cast<int>(s.dtype_c) << 6);
    return static_cast<std::size_t>(MixBits(hash ^ static_cast<std::uint64_t>(flags)));
  }
};

// oneDNN asks OpenMP for its number of threads, also in a region of ours that happens to have one
// thread. The setting is per thread, so that this changes nothing for others.
class SingleThreaded {
 public:
  SingleThreaded() : before_(omp_get_max_threads()) {
    if (before_ != 1) omp_set_num_threads(1);
  }
  ~SingleThreaded() {
    if (before_ != 1) omp_set_num_threads(before_);
  }
  SingleThreaded(const SingleThreaded&) = delete;
  SingleThreaded& operator=(const SingleThreaded&) = delete;

 private:
  int before_;
};

bool HasIsa(dnnl::cpu_isa isa) {
  const auto wanted = static_cast<unsigned>(isa);
  return (static_cast<unsigned>(dnnl::get_effective_cpu_isa()) & wanted) == wanted;
}

const dnnl::engine& Engine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

dnnl::memory::data_type DnnlType(DType dtype) {
  return dtype == DType::kFloat32 ? dnnl::memory::data_type::f32 : dnnl::memory::data_type::bf16;
}

// [rows, columns] as the product sees it, stored with `ld` between rows, or between columns.
dnnl::memory::desc Matrix(std::int64_t rows, std::int64_t columns, DType dtype, std::int64_t ld,
                          bool transposed) {
  const dnnl::memory::dims strides =
      transposed ? dnnl::memory::dims{1, ld} : dnnl::memory::dims{ld, 1};
  return {{rows, columns}, DnnlType(dtype), strides};
}

}  // namespace

class TileMatmul {
 public:
  explicit TileMatmul(const TileShape& s)
      : a_(Matrix(s.m, s.k, s.dtype_ab, s.lda, s.transpose_a)),
        b_(Matrix(s.k, s.n, s.dtype_ab, s.ldb, s.transpose_b)),
        c_(Matrix(s.m, s.n, s.dtype_c, s.ldc, false)) {
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    if (s.accumulate) {
      dnnl::post_ops add;
      add.append_sum(1.0F);
      attributes.set_post_ops(add);
    }
    const dnnl::matmul::primitive_desc description(dnnl::matmul::desc(a_, b_, c_), attributes,
                                                   Engine());
    scratch_ = description.scratchpad_desc();
    matmul_ = dnnl::matmul(description);
  }

  std::int64_t scratch_bytes() const { return static_cast<std::int64_t>(scratch_.get_size()); }

  void Run(const void* a, const void* b, void* c, void* scratch) const {
    thread_local dnnl::stream stream(Engine());
    matmul_.execute(stream, {{DNNL_ARG_SRC, {a_, Engine(), const_cast<void*>(a)}},
                             {DNNL_ARG_WEIGHTS, {b_, Engine(), const_cast<void*>(b)}},
                             {DNNL_ARG_DST, {c_, Engine(), c}},
                             {DNNL_ARG_SCRATCHPAD, {scratch_, Engine(), scratch}}});
  }

 private:
  dnnl::memory::desc a_, b_, c_, scratch_;
  dnnl::matmul matmul_;
};

namespace {

struct Cache {
  std::shared_mutex mutex;
  std::unordered_map<TileShape, std::unique_ptr<TileMatmul>, ShapeHash> matmuls;
};

// Never destroyed: oneDNN's own statics may go first.
Cache& TheCache() {
  static auto* const cache = new Cache;
  return *cache;
}

}  // namespace

const TileMatmul& FindTileMatmul(const TileShape& shape) {
  Cache& cache = TheCache();
  {
    const std::shared_lock lock(cache.mutex);
    const auto found = cache.matmuls.find(shape);
    if (found != cache.matmuls.end()) return *found->second;
  }
  const std::unique_lock lock(cache.mutex);
  auto& place = cache.matmuls[shape];
  if (!place) {
    const SingleThreaded single;
    place = std::make_unique<TileMatmul>(shape);
  }
  return *place;
}

std::int64_t TileMatmulScratchBytes(const TileMatmul& matmul) { return matmul.scratch_bytes(); }

void RunTileMatmul(const TileMatmul& matmul, const void* a, const void* b, void* c, void* scratch) {
  const SingleThreaded single;
  matmul.Run(a, b, c, scratch);
}

bool TileMatmulHasNativeBf16() {
  static const bool native = HasIsa(dnnl::cpu_isa::avx512_core_bf16);
  return native;
}

bool TileMatmulHasAvx512() {
  static const bool has = HasIsa(dnnl::cpu_isa::avx512_core);
  return has;
}

}  // namespace sequela::cpu

namespace sequela {

std::string MatrixLibrary() {
  const dnnl_version_t* version = dnnl::version();
  return fmt::format("oneDNN {}.{}.{}", version->major, version->minor, version->patch);
}

}  // namespace sequela
